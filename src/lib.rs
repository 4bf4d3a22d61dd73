//! stager: a staged-cache image build engine.
//!
//! Text → typed config → plan → execution → report; each arrow is one function between two named types.
//!
//! ```text
//!   files of the commit ──giterminism::Gate──▶ template ──▶ config::load ──▶ stages::spec::Project
//!   Project + facts (git trees, digests of bases) ──plan::plan──▶ stages::plan::Plan: every stage with its digest
//!   Plan ──execute──▶ layers and stages in storage ──export──▶ archives, layouts, registries, a daemon
//!   events on the way ──▶ ui; at the end a report::BuildReport
//! ```
//!
//! From the bottom; a module uses those of the lines above its own, and `tests/it/tidy.rs` holds the code to that:
//!
//! - [`source`], [`report`], [`sha256`]: text with places and diagnostics; events and reports; digests of blobs. Below them
//!   is the crate `stages`, the pure domain: specification, digests, planner.
//! - [`git`], [`layer`], [`image`], [`registry`], [`template`]: the formats and protocols of others. Trees and clones; file
//!   trees as layer directories, archives and blobs; OCI documents, bases and outputs; the distribution client; minijinja.
//! - [`config`], [`giterminism`], [`storage`], [`builder`]: what this program adds. Dialects and their checks; what a build
//!   may read; the store; what runs the steps.
//! - [`plan`], [`execute`]: facts to a plan, and the plan to images.
//! - [`ops`]: one operation for each command: options in, report out.
//! - [`cli`], [`ui`]: arguments in, exit code out; the only writer to the terminal.
//!
//! # What is written to disk
//!
//! - The store, `$STAGER_HOME` (see [`storage`]): index, blobs, snapshots, clones, caches, locks. Work in progress is in
//!   its `tmp/`, and appears elsewhere by a rename.
//! - What the user names: `--output` and `--report`.
//!
//! Nothing is written to the project or its `.git`, `--dev` included: the work tree becomes objects in the store.

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
