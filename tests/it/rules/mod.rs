//! Rules that people write, at work between two nodes.

mod asks;
mod dry_run;
mod versions;
mod wishes;
