//! Salesforce: login, REST, outbound messages, and the tracker on top of them.
