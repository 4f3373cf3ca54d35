//! Rules that people write, at work between two nodes.

mod asks;
mod checked;
mod dry_run;
mod pauses;
mod values;
mod versions;
mod wishes;
