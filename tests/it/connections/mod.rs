//! How two nodes become partners, stay so, and part.

mod belongings;
mod confirming;
mod epochs;
mod invitations;
mod public;
mod rekey;
mod switches;
