//! Chooses the command.

fn main() {}
