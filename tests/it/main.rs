//! Tests of the whole: one binary, so that it links once. Folders mirror `src/`.

mod api;
mod architecture;
mod browser;
mod cli;
mod config_samples;
mod connections;
mod console;
mod economy;
mod fine_points;
mod first_hour;
mod jobs;
mod kill;
mod link;
mod lives;
mod look;
mod lost_key;
mod network;
mod notify;
mod patterns;
mod round_trip;
mod rules;
mod salesforce;
mod secrets;
mod support;
mod webhook;
