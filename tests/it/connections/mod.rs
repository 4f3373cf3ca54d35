//! How two nodes become partners, stay so, and part.

mod confirming;
mod invitations;
mod public;
mod rekey;
mod switches;
