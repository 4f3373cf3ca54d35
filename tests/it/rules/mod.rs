//! Rules that people write, at work between two nodes.

mod dry_run;
mod pauses;
mod versions;
mod wishes;
