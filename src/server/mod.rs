//! The doors of a node.

pub mod link;
