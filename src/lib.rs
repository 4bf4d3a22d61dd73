//! stager: a staged-cache image build engine.
//!
//! Text → typed config → plan → execution → report; each arrow is one function between two named types.

pub mod builder;
pub mod cli;
pub mod config;
pub mod execute;
pub mod git;
pub mod giterminism;
pub mod image;
pub mod layer;
pub mod ops;
pub mod plan;
pub mod registry;
pub mod report;
pub mod sha256;
pub mod source;
pub mod storage;
pub mod template;
pub mod ui;
