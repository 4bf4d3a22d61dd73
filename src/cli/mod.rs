//! argv in, exit code out: the only user of clap.
