//! The embedded builder: runs steps in Linux namespaces over overlayfs, without a daemon, without root, without an
//! external runtime.
//!
//! # Processes
//!
//! ```text
//! engine (threads) ── runner (fresh exec, one thread) ── pid 1 of the step ── the command … its children
//!        socket + output pipe            report pipe, lifeline
//! ```
//!
//! The engine never forks: it starts itself anew as *runner* ([`helper_hook`]), with an empty environment and three
//! descriptors. The runner makes the pid namespace, forks pid 1, watches, and cleans mount points out of the upper
//! directory. Pid 1 makes the other namespaces, lays out the tree, forks the command, and reaps. The step dies as a
//! whole when its command ends, when the engine shuts its side of the socket (cancel, timeout), and when engine or
//! runner die in whatever way: a hung-up socket ends the runner, the runner's end kills pid 1, pid 1's end kills the
//! rest. When the runner has answered, every process of the step is gone.
//!
//! # Isolation
//!
//! Own user (rootless), mount, pid, ipc, uts, cgroup and, for network `none`, net namespace; the tree entered by
//! pivot_root; /proc and /sys masked and read-only where Docker does so; a /dev of six bind-mounted nodes, every file
//! system `nodev`; Docker's fourteen capabilities; no_new_privs; Docker's seccomp rules; no descriptor but 0, 1, 2; a
//! session of its own; an environment that is the task's. Mounts are made detached and attached to handles that were
//! resolved inside the tree; the helper's program lies on a read-only mount. On the network `default` and `host` a step
//! shares the user's network, abstract unix sockets included.
//!
//! # Ids
//!
//! See [`Mode`]. In [`Mode::SingleId`] there is one id, and the rest is emulated, which is declared here: `chown` and its
//! family record the owner in the attribute [`OWNER_XATTR`](crate::layer::OWNER_XATTR) and succeed; set*id, `setgroups`
//! and `capset` succeed without effect; steps run as root whatever their user; every file looks like root's; device nodes are refused; and apt
//! finds a setting that keeps it from downloading as another user, which it would verify.
//!
//! # The tree
//!
//! Lower directories are shared and never written. The upper directory is a plain overlayfs diff (whiteouts are devices
//! 0:0, opaque directories have `user.overlay.opaque`), ready to become a lower one by rename. Mount points that an image
//! lacks come from a layer in memory below all others, so that they leave nothing behind.
//!
//! Needs Linux 5.12 and, for user namespaces, what [`probe`] finds out. Knows the task, and nothing of the rest of the
//! program.

mod cgroup;
mod diagnosis;
mod hook;
mod identity;
mod idmap;
mod image;
mod init;
mod launch;
mod mounts;
mod overlay;
mod owners;
mod payload;
mod probe;
mod remove;
mod rootfs;
mod runner;
mod seccomp;
mod seccomp_lists;
mod service_files;
mod sys;
mod targets;
mod userns;
mod wire;

pub use diagnosis::Diagnosis;
pub use hook::helper_hook;
pub use identity::{Mode, current_mode};
pub use launch::{NativeBuilder, own_program};
pub use probe::{Check, CheckResult, Probe, probe};
pub use remove::remove_tree;
pub use userns::{EnterError, Entered, Wanted, enter_user_namespace};
