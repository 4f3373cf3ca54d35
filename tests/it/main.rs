//! Tests of the whole: one binary, so that it links once. Folders mirror `src/`.

mod architecture;
mod config_samples;
mod connections;
mod economy;
mod fine_points;
mod kill;
mod lives;
mod look;
mod network;
mod round_trip;
mod support;
