//! How two nodes become partners, stay so, and part.

mod invitations;
