//! The simulated systems that users try things with.
