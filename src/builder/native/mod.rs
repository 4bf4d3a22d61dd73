//! The embedded builder: namespaces, overlayfs, no daemon, no root.
