//! What every door shares.

pub mod settings;
