//! The console in real Chromium: the story across two nodes, every page held against axe, phone and keyboard.
//!
//! `tests/browser.sh` installs Chromium, its driver and axe-core; where one is missing the tests fail and say so. Each step
//! leaves a picture in `target/tmp/screenshots`.

mod chromium;
mod pages;
mod story;
