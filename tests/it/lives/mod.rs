//! The lives of triggers, twins and errors on a joined pair, and who may see them.

mod access;
mod bad_input;
mod bodies;
mod correlation;
mod linking;
mod lists;
mod mending;
mod order;
mod panel;
mod parking;
mod stopping;
mod triggers;
