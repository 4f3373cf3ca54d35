//! What Wicketgate is about, without any I/O: values, life cycles, refusals, and the trait that a tracker fulfils.
//!
//! Flow of one edit: a tracker tells of a [`change`](change), the outgoing rule makes a [`replica`](replica), an
//! [`event`](event) carries it over the link, the incoming rule makes field values of it, the tracker writes them, and
//! the [`twin`](twin) remembers what each side last sent and received. Each step ends in an
//! [`outcome`](history::Outcome).
//!
//! To add a noun: a file here with its type and its transitions, a repository method in `store`, a body in
//! `server/api`. Names are those of the design's word list.

pub mod ask;
pub mod change;
pub mod comment;
pub mod connection;
pub mod csv;
pub mod error;
pub mod event;
pub mod failing;
pub mod figures;
pub mod history;
pub mod ids;
pub mod invitation;
pub mod job;
pub mod replica;
pub mod rule;
pub mod token;
pub mod tracker;
pub mod trigger;
pub mod twin;
pub mod user;
pub mod version;
