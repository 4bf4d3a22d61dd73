//! The operations behind the commands: options in, report out.
