//! Rules that people write, at work between two nodes.

mod versions;
