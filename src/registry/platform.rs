//! Choosing an image from an index by platform.
//!
//! The rules are containerd's, within one architecture: names are normalised, and a machine runs its own variant and
//! every older one, the newest first. An image for another architecture is never chosen, even where a kernel would run
//! it (386 on amd64, arm on arm64): a build must not change its architecture unasked.

use stages::ids::Platform;

use super::Error;
use super::manifest::{DescribedPlatform, Descriptor, Index};

/// The manifest for a platform. An index of a single manifest that states no platform offers that one to all.
pub fn select_platform<'a>(index: &'a Index, platform: &Platform) -> Result<&'a Descriptor, Error> {
    let wanted = normalise(&DescribedPlatform::from(platform));
    for variant in compatible_variants(&wanted.architecture, wanted.variant.as_deref()) {
        let fits = |descriptor: &&Descriptor| {
            descriptor.platform.as_ref().map(normalise).is_some_and(|offered| {
                (&offered.os, &offered.architecture) == (&wanted.os, &wanted.architecture) && offered.variant == variant
            })
        };
        if let Some(found) = index.manifests.iter().find(fits) {
            return Ok(found);
        }
    }
    if let [only] = index.manifests.as_slice()
        && only.platform.as_ref().is_none_or(|platform| platform.os.is_empty() && platform.architecture.is_empty())
    {
        return Ok(only);
    }
    Err(Error::NoPlatform { wanted: platform.to_string(), available: available(index) })
}

/// What the index offers, without attestations.
fn available(index: &Index) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for platform in index.manifests.iter().filter_map(|descriptor| descriptor.platform.as_ref()) {
        let mut name = format!("{}/{}", platform.os, platform.architecture);
        for variant in platform.variant.iter().filter(|variant| !variant.is_empty()) {
            name = format!("{name}/{variant}");
        }
        let name = super::error::printable(&name, 60);
        if name != "unknown/unknown" && !names.contains(&name) && names.len() < 50 {
            names.push(name);
        }
    }
    names
}

/// containerd's canonical names: no variant where there is only one in common use.
fn normalise(platform: &DescribedPlatform) -> DescribedPlatform {
    let os = platform.os.to_ascii_lowercase();
    let architecture = platform.architecture.to_ascii_lowercase();
    let variant = platform.variant.as_deref().unwrap_or_default().to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0" | "") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    DescribedPlatform {
        os,
        architecture: architecture.to_owned(),
        variant: Some(variant.to_owned()).filter(|variant| !variant.is_empty()),
        os_version: None,
    }
}

/// The variants that a machine of the given one runs, the best first; `None` is the architecture's base line.
fn compatible_variants(architecture: &str, variant: Option<&str>) -> Vec<Option<String>> {
    let number = |text: &str| text.strip_prefix('v').and_then(|digits| digits.parse::<u8>().ok());
    let named = |level: u8| Some(format!("v{level}"));
    match (architecture, variant, variant.and_then(number)) {
        ("amd64", Some(_), Some(level @ 2..=9)) => (2..=level).rev().map(named).chain([None]).collect(),
        ("arm", Some(_), Some(level @ 5..=9)) => (5..=level).rev().map(named).collect(),
        ("arm64", Some(text), _) => arm64_variants(text),
        _ => vec![variant.map(str::to_owned)],
    }
}

/// `v9.x` runs `v9.0` to `v9.x`, then `v8.(x+5)` and below; `v8` is the base line.
fn arm64_variants(variant: &str) -> Vec<Option<String>> {
    let parsed = variant.strip_prefix('v').map(|text| text.split_once('.').unwrap_or((text, "0")));
    let Some((Ok(major @ 8..=9), Ok(minor @ 0..=20))) = parsed.map(|(a, b)| (a.parse::<u8>(), b.parse::<u8>())) else {
        return vec![Some(variant.to_owned())];
    };
    let mut variants = vec![Some(variant.to_owned())];
    let mut add = |major: u8, minor: u8| {
        variants.push(Some(format!("v{major}.{minor}")));
        if minor == 0 {
            variants.push(Some(format!("v{major}")));
        }
    };
    let mut eight = minor;
    if major == 9 {
        (0..=minor).rev().for_each(|minor| add(9, minor));
        eight = minor + 5;
    }
    (1..=eight).rev().for_each(|minor| add(8, minor));
    variants.push(None);
    variants
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[&str]) -> Index {
        let descriptor = |(number, name): (usize, &&str)| {
            let parts: Vec<&str> = name.split('/').collect();
            Descriptor {
                media_type: super::super::media_type::OCI_MANIFEST.to_owned(),
                digest: stages::ids::BlobId::from_bytes([number as u8; 32]),
                size: number as u64,
                annotations: std::collections::BTreeMap::new(),
                platform: (!name.is_empty()).then(|| DescribedPlatform {
                    os: parts[0].to_owned(),
                    architecture: parts[1].to_owned(),
                    variant: parts.get(2).map(|&variant| variant.to_owned()),
                    os_version: None,
                }),
                artifact_type: None,
            }
        };
        Index {
            manifests: platforms.iter().enumerate().map(descriptor).collect(),
            annotations: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn the_best_variant_wins() {
        let cases: &[(&[&str], &str, Option<u64>)] = &[
            (&["linux/386", "linux/amd64", "linux/amd64/v2"], "linux/amd64", Some(1)),
            (&["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v3", Some(1)),
            (&["linux/amd64/v1"], "linux/amd64/v3", Some(0)),
            (&["linux/amd64/v2"], "linux/amd64", None),
            (&["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], "linux/arm", Some(1)),
            (&["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", Some(1)),
            (&["linux/arm/v7"], "linux/arm/v6", None),
            (&["linux/arm64/v8"], "linux/arm64", Some(0)),
            (&["linux/arm64"], "linux/arm64/v8", Some(0)),
            (&["linux/aarch64"], "linux/arm64", Some(0)),
            (&["linux/arm64", "linux/arm64/v8.5", "linux/arm64/v9"], "linux/arm64/v9.0", Some(2)),
            (&["linux/arm64", "linux/arm64/v8.5"], "linux/arm64/v9.2", Some(1)),
            (&["linux/arm/v7"], "linux/arm64", None),
            (&["linux/386"], "linux/amd64", None),
            (&["windows/amd64", "unknown/unknown"], "linux/amd64", None),
            (&["linux/riscv64"], "linux/riscv64", Some(0)),
            (&[""], "linux/riscv64", Some(0)),
            (&["", "linux/s390x"], "linux/riscv64", None),
            (&[], "linux/amd64", None),
        ];
        for (offered, wanted, expected) in cases {
            let index = index(offered);
            let found = select_platform(&index, &wanted.parse().unwrap()).ok().map(|descriptor| descriptor.size);
            assert_eq!(found, *expected, "{wanted} in {offered:?}");
        }
    }

    #[test]
    fn a_miss_lists_what_there_is() {
        let index = index(&["linux/amd64", "linux/arm/v7", "unknown/unknown", "linux/amd64"]);
        let error = select_platform(&index, &"linux/s390x".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "no image for the platform linux/s390x; there is linux/amd64, linux/arm/v7");
    }
}
