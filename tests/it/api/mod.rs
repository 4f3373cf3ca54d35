//! The API as its callers meet it: two full nodes, answers held against the design and against the document.

mod bodies;
mod description;
mod judge;
mod lists;
mod repeats;
mod requests;
mod stream;
mod tokens;
mod users;
