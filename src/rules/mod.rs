//! The script engine in its child process.
