//! Tests of the whole: one binary, so that it links once. Folders mirror `src/`.

mod architecture;
mod config_samples;
