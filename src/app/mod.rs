//! Joins the rooms to a node: opens what it keeps, makes its trackers, starts its workers and its doors.
//!
//! [`Node::start`] is the one way to a running node; `serve`, `relay`, `demo` and the tests all call it, and two may run
//! in one process. What one module needs of another and must not import is joined in [`trackers`] (where Salesforce
//! keeps its tokens, what a door may ask of a tracker). To add a tracker kind: one arm in [`trackers::open`].

pub mod demo;
pub mod node;
pub mod notify;
pub mod trackers;

pub use node::{Node, run};
