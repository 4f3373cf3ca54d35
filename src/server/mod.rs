//! Assembly of the doors.

pub mod kit;

pub use kit::settings::{ApiSettings, NodeSettings, TlsSettings};
