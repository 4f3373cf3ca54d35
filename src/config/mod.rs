//! Gathers the sections that modules define, loads, checks, explains.
