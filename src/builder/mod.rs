//! Runs one stage task on a parent tree and returns a changed tree.

pub mod native;
