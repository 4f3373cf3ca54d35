//! Trackers other than Salesforce.
