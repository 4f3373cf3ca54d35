//! What the programs that ask a node share. What only one of them needs stands beside it.

pub mod http;
pub mod message;
pub mod node;
