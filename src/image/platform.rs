//! Which entry of an index fits a platform.
//!
//! The rules are containerd's, within one architecture: names are normalised, and a machine runs its own variant and
//! every older one, the newest first. An image for another architecture is never chosen, even where a kernel would run
//! it (386 on amd64, arm on arm64): a build must not change its architecture unasked.

use stages::ids::Platform;

use super::spec::{Descriptor, PlatformFields};

/// Whether an image for `candidate` runs where `wanted` is wanted.
pub fn fits(wanted: &Platform, candidate: &PlatformFields) -> bool {
    Machine::of(wanted).rank(candidate).is_some()
}

/// The entries that fit best; several only if they are equally good. Entries that don't name a platform count as
/// fitting, after all that do.
pub fn best_entries<'a>(wanted: &Platform, entries: &[&'a Descriptor]) -> Vec<&'a Descriptor> {
    let machine = Machine::of(wanted);
    let rank = |entry: &Descriptor| match entry.platform.as_ref().filter(|_| names_platform(entry)) {
        Some(platform) => machine.rank(platform),
        None => Some(usize::MAX),
    };
    let best = entries.iter().filter_map(|entry| rank(entry)).min();
    entries.iter().copied().filter(|entry| best.is_some() && rank(entry) == best).collect()
}

/// Whether an entry says what platform it is for.
pub fn names_platform(entry: &Descriptor) -> bool {
    entry.platform.as_ref().is_some_and(|platform| !(platform.os.is_empty() && platform.architecture.is_empty()))
}

/// A platform as people write it.
pub fn describe(platform: &PlatformFields) -> String {
    let variant = platform.variant.as_deref().filter(|variant| !variant.is_empty());
    format!("{}/{}{}", platform.os, platform.architecture, variant.map(|text| format!("/{text}")).unwrap_or_default())
}

/// What a machine runs.
struct Machine {
    os: String,
    architecture: String,
    /// The best first; an empty one is the architecture's base line.
    variants: Vec<String>,
}

impl Machine {
    fn of(wanted: &Platform) -> Self {
        let (architecture, variant) = normalise(wanted.architecture(), wanted.variant());
        Self {
            os: wanted.os().to_ascii_lowercase(),
            variants: compatible_variants(&architecture, &variant),
            architecture,
        }
    }

    /// How far an image's platform is from the best one; `None` if it doesn't run.
    fn rank(&self, candidate: &PlatformFields) -> Option<usize> {
        let (architecture, variant) = normalise(&candidate.architecture, candidate.variant.as_deref());
        let same = candidate.os.to_ascii_lowercase() == self.os && architecture == self.architecture;
        self.variants.iter().position(|runs| same && *runs == variant)
    }
}

/// containerd's canonical names, and more of the old ones: no variant where there is only one in common use.
fn normalise(architecture: &str, variant: Option<&str>) -> (String, String) {
    let architecture = architecture.to_ascii_lowercase();
    let variant = variant.unwrap_or_default().to_ascii_lowercase();
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386" | "i686" | "x86", _) => ("386", ""),
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
    (architecture.to_owned(), variant.to_owned())
}

/// The variants that a machine of the given one runs, the best first; an empty one is the architecture's base line.
fn compatible_variants(architecture: &str, variant: &str) -> Vec<String> {
    let number = variant.strip_prefix('v').and_then(|digits| digits.parse::<u8>().ok());
    let named = |level: u8| format!("v{level}");
    match (architecture, number) {
        ("amd64", Some(level @ 2..=9)) => (2..=level).rev().map(named).chain([String::new()]).collect(),
        ("arm", Some(level @ 5..=9)) => (5..=level).rev().map(named).collect(),
        ("arm64", _) => arm64_variants(variant),
        _ => vec![variant.to_owned()],
    }
}

/// `v9.x` runs `v9.0` to `v9.x`, then `v8.(x+5)` and below; `v8` is the base line.
fn arm64_variants(variant: &str) -> Vec<String> {
    let parsed = variant.strip_prefix('v').map(|text| text.split_once('.').unwrap_or((text, "0")));
    let mut variants = vec![variant.to_owned()];
    let Some((Ok(major @ 8..=9), Ok(minor @ 0..=20))) = parsed.map(|(a, b)| (a.parse::<u8>(), b.parse::<u8>())) else {
        return variants;
    };
    let mut add = |major: u8, minor: u8| {
        variants.push(format!("v{major}.{minor}"));
        if minor == 0 {
            variants.push(format!("v{major}"));
        }
    };
    let mut eight = minor;
    if major == 9 {
        (0..=minor).rev().for_each(|minor| add(9, minor));
        eight = minor + 5;
    }
    (1..=eight).rev().for_each(|minor| add(8, minor));
    variants.push(String::new());
    variants
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Descriptor {
        let parts: Vec<&str> = name.split('/').collect();
        let platform = (!name.is_empty()).then(|| PlatformFields {
            os: parts[0].to_owned(),
            architecture: parts[1].to_owned(),
            variant: parts.get(2).map(|&variant| variant.to_owned()),
            ..PlatformFields::default()
        });
        Descriptor { platform, ..Descriptor::of("", name.as_bytes()) }
    }

    #[test]
    fn the_best_variant_wins() {
        let cases: &[(&[&str], &str, &[usize])] = &[
            (&["linux/386", "linux/amd64", "linux/amd64/v2"], "linux/amd64", &[1]),
            (&["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v3", &[1]),
            (&["linux/amd64/v1"], "linux/amd64/v3", &[0]),
            (&["linux/amd64/v2"], "linux/amd64", &[]),
            (&["linux/x86_64", "linux/amd64/v1"], "linux/amd64", &[0, 1]),
            (&["linux/i686"], "linux/386", &[0]),
            (&["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], "linux/arm", &[1]),
            (&["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], "linux/arm/v6", &[2]),
            (&["linux/arm/v5", "linux/arm/v6"], "linux/arm/v7", &[1]),
            (&["linux/arm/v7"], "linux/arm/v6", &[]),
            (&["linux/arm64/v8"], "linux/arm64", &[0]),
            (&["linux/arm64"], "linux/arm64/v8", &[0]),
            (&["linux/aarch64"], "linux/arm64", &[0]),
            (&["linux/arm64", "linux/arm64/v8.5", "linux/arm64/v9"], "linux/arm64/v9.0", &[2]),
            (&["linux/arm64", "linux/arm64/v8.5"], "linux/arm64/v9.2", &[1]),
            (&["linux/arm/v7"], "linux/arm64", &[]),
            (&["linux/386"], "linux/amd64", &[]),
            (&["windows/amd64", "unknown/unknown"], "linux/amd64", &[]),
            (&["linux/riscv64"], "linux/riscv64", &[0]),
            (&["", "linux/s390x", "/"], "linux/riscv64", &[0, 2]),
            (&["", "linux/s390x"], "linux/s390x", &[1]),
            (&[], "linux/amd64", &[]),
        ];
        for (offered, wanted, expected) in cases {
            let wanted: Platform = wanted.parse().unwrap();
            let offered: Vec<Descriptor> = offered.iter().map(|name| entry(name)).collect();
            let entries: Vec<&Descriptor> = offered.iter().collect();
            let expected: Vec<&Descriptor> = expected.iter().map(|&at| entries[at]).collect();
            assert_eq!(best_entries(&wanted, &entries), expected, "{wanted}");
            for entry in expected.iter().filter(|entry| names_platform(entry)) {
                assert!(fits(&wanted, entry.platform.as_ref().unwrap()), "{wanted}");
            }
        }
    }
}
