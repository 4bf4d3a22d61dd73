//! What an entry carries besides its content, and which extended attributes belong to a layer.

use std::collections::BTreeMap;

/// How the owner of a file is kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ownership {
    /// The ids on disk are right: real root, or a user namespace with many ids.
    Real,
    /// All files belong to one id; the true owner is in the attribute `user.stager.owner` as `uid:gid`, absent
    /// meaning `0:0`. Linux allows `user.*` attributes on files and directories only, so symbolic links and special
    /// files are always `0:0` in this mode.
    Recorded,
}

/// The name of the attribute that records an owner (see [`Ownership::Recorded`]).
pub const OWNER_XATTR: &str = "user.stager.owner";

/// The attribute by which overlayfs, mounted with `userxattr`, marks an opaque directory.
pub const OPAQUE_XATTR: &str = "user.overlay.opaque";

/// Extended attributes by name.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// A time of last modification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mtime {
    /// Seconds since the epoch; negative before it.
    pub seconds: i64,
    /// Nanoseconds, below 10⁹.
    pub nanoseconds: u32,
}

impl Mtime {
    /// A time of whole seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }
}

/// What an entry carries besides its type and content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky: at most `0o7777`.
    pub mode: u32,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The time of last modification. Layer archives hold whole seconds.
    pub mtime: Mtime,
    /// Extended attributes, without those of overlayfs and of stager.
    pub xattrs: Xattrs,
}

/// Replaces the times that a step made by a fixed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clamp {
    /// The start of the step: times at or after it are replaced. Seconds since the epoch.
    pub from: i64,
    /// What they become: SOURCE_DATE_EPOCH. Seconds since the epoch.
    pub to: i64,
}

impl Clamp {
    /// Tells whether a time falls under the clamp.
    pub fn applies(self, mtime: Mtime) -> bool {
        mtime.seconds >= self.from
    }
}

/// The time that a layer archive holds: clamped, in whole seconds.
pub(super) fn archived_mtime(mtime: Mtime, clamp: Option<Clamp>) -> Mtime {
    match clamp {
        Some(clamp) if clamp.applies(mtime) => Mtime::from_seconds(clamp.to),
        _ => Mtime::from_seconds(mtime.seconds),
    }
}

/// Tells whether an attribute belongs to the content of a layer: users' own, capabilities, access control lists. Labels
/// of the host's security modules, overlayfs's marks and stager's own records are not.
pub(super) fn is_layer_xattr(name: &[u8]) -> bool {
    const PRIVATE: [&[u8]; 4] = [b"user.overlay.", b"trusted.overlay.", b"user.stager.", b"trusted.stager."];
    const NAMED: [&[u8]; 3] = [b"security.capability", b"system.posix_acl_access", b"system.posix_acl_default"];
    if name.contains(&0) || name.len() > 255 || PRIVATE.iter().any(|prefix| name.starts_with(prefix)) {
        return false;
    }
    NAMED.contains(&name)
        || [&b"user."[..], b"trusted."].iter().any(|prefix| name.starts_with(prefix) && name.len() > prefix.len())
}

/// The value of [`OWNER_XATTR`] for an owner.
pub fn owner_record(uid: u32, gid: u32) -> String {
    format!("{uid}:{gid}")
}

/// Reads the value of [`OWNER_XATTR`]: two decimal ids, and nothing else.
pub fn parse_owner_record(record: &[u8]) -> Option<(u32, u32)> {
    let (uid, gid) = std::str::from_utf8(record).ok()?.split_once(':')?;
    let id = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    Some((id(uid)?, id(gid)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_records_round_trip_and_nothing_else_parses() {
        assert_eq!(parse_owner_record(owner_record(1000, 4_294_967_294).as_bytes()), Some((1000, 4_294_967_294)));
        for bad in ["", "1", "1:", ":1", "a:b", "+1:1", "1:2:3", "1: 2", "4294967296:0"] {
            assert_eq!(parse_owner_record(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn only_the_layers_own_attributes_leave() {
        for name in ["user.a", "trusted.a", "security.capability", "system.posix_acl_access"] {
            assert!(is_layer_xattr(name.as_bytes()), "{name}");
        }
        for name in
            ["user.overlay.opaque", "trusted.overlay.redirect", "user.stager.owner", "security.selinux", "user.", "x"]
        {
            assert!(!is_layer_xattr(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn the_clamp_takes_what_is_at_or_after_its_start() {
        let clamp = Some(Clamp { from: 100, to: 1 });
        let at = |seconds| archived_mtime(Mtime { seconds, nanoseconds: 7 }, clamp);
        assert_eq!(at(99), Mtime::from_seconds(99));
        assert_eq!(at(100), Mtime::from_seconds(1));
        assert_eq!(archived_mtime(Mtime { seconds: 100, nanoseconds: 7 }, None), Mtime::from_seconds(100));
    }
}
