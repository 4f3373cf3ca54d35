//! Builds a node by role, joins the traits and runs it until stopped.
