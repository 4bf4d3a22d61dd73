//! Choosing an image from an index by platform; what fits is decided by [`crate::image::platform`].

use stages::ids::Platform;

use super::Error;
use super::error::printable;
use crate::image::platform::{best_entries, describe, names_platform};
use crate::image::spec::{Descriptor, Index};

/// The manifest for a platform. An index of a single manifest that states no platform offers that one to all.
pub(super) fn select_platform<'a>(index: &'a Index, platform: &Platform) -> Result<&'a Descriptor, Error> {
    let entries: Vec<&Descriptor> = index.manifests.iter().collect();
    match best_entries(platform, &entries).first() {
        Some(entry) if names_platform(entry) || entries.len() == 1 => Ok(entry),
        _ => Err(Error::NoPlatform { wanted: platform.to_string(), available: available(index) }),
    }
}

/// What the index offers, without attestations.
fn available(index: &Index) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for platform in index.manifests.iter().filter_map(|descriptor| descriptor.platform.as_ref()) {
        let name = printable(&describe(platform), 60);
        if name != "unknown/unknown" && !names.contains(&name) && names.len() < 50 {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::spec::PlatformFields;

    fn index(platforms: &[&str]) -> Index {
        let entry = |name: &&str| {
            let platform = name.parse::<Platform>().ok().map(|platform| PlatformFields::from(&platform));
            Descriptor { platform, ..Descriptor::of("", name.as_bytes()) }
        };
        Index::new(platforms.iter().map(entry).collect())
    }

    #[test]
    fn only_a_lone_manifest_may_leave_its_platform_out() {
        let cases: [(&[&str], Option<usize>); 4] =
            [(&[""], Some(0)), (&["", "linux/s390x"], None), (&["", "linux/riscv64"], Some(1)), (&[], None)];
        for (offered, expected) in cases {
            let index = index(offered);
            let found = select_platform(&index, &"linux/riscv64".parse().unwrap()).ok();
            assert_eq!(found, expected.map(|at| &index.manifests[at]), "{offered:?}");
        }
    }

    #[test]
    fn a_miss_lists_what_there_is() {
        let index = index(&["linux/amd64", "linux/arm/v7", "unknown/unknown", "linux/amd64"]);
        let error = select_platform(&index, &"linux/s390x".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "no image for the platform linux/s390x; there is linux/amd64, linux/arm/v7");
    }
}
