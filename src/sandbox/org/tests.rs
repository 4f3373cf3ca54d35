//! The org over HTTP, with a bare client.
