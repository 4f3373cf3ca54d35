//! A simple tracker that speaks the `webhook` contract.
