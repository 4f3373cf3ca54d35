//! The console by HTTP: who sees which page, every form behind one gate, and what a stranger wrote is text.

mod foreign_text;
mod gate;
mod overview;
mod rooms;
mod settings;
mod visitor;
mod wizards;
