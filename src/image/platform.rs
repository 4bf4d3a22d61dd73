//! Which entry of an index fits a platform: containerd's rules for variants.

use stages::ids::Platform;

use super::spec::{Descriptor, PlatformFields};

/// How well `candidate` serves `wanted`: `None` not at all, otherwise higher is better.
///
/// Operating system and architecture must be equal (common aliases count as equal). A machine of a variant runs the
/// variants below it too (`arm/v7` runs `v6`, `amd64/v3` runs `v2`); no variant means the usual one: `v7` on arm, `v8` on
/// arm64, `v1` on amd64.
pub fn fitness(wanted: &Platform, candidate: &PlatformFields) -> Option<u32> {
    let wanted_architecture = architecture(wanted.architecture());
    if candidate.os.to_ascii_lowercase() != wanted.os() || architecture(&candidate.architecture) != wanted_architecture
    {
        return None;
    }
    let wanted_variant = variant(&wanted_architecture, wanted.variant());
    let candidate_variant = variant(&wanted_architecture, candidate.variant.as_deref());
    if wanted_variant == candidate_variant {
        return Some(u32::MAX);
    }
    let (wanted_rank, candidate_rank) = (rank(&wanted_variant)?, rank(&candidate_variant)?);
    (candidate_rank <= wanted_rank).then_some(candidate_rank)
}

/// The entries that fit best; several only if they are equally good. Entries that don't name a platform count as
/// fitting, after all that do.
pub fn best_entries<'a>(wanted: &Platform, entries: &[&'a Descriptor]) -> Vec<&'a Descriptor> {
    let score = |entry: &Descriptor| match &entry.platform {
        Some(platform) => fitness(wanted, platform).map(|fitness| u64::from(fitness) + 1),
        None => Some(0),
    };
    let best = entries.iter().filter_map(|entry| score(entry)).max();
    entries.iter().copied().filter(|entry| best.is_some() && score(entry) == best).collect()
}

/// A platform as people write it.
pub fn describe(platform: &PlatformFields) -> String {
    let variant = platform.variant.as_deref().filter(|variant| !variant.is_empty());
    format!("{}/{}{}", platform.os, platform.architecture, variant.map(|text| format!("/{text}")).unwrap_or_default())
}

fn architecture(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" | "x86" => "386",
        "armhf" | "armel" => "arm",
        other => return other.to_owned(),
    }
    .to_owned()
}

fn variant(architecture: &str, variant: Option<&str>) -> String {
    match (architecture, variant.unwrap_or_default()) {
        ("arm", "" | "7") => "v7".to_owned(),
        ("arm64", "" | "8") => "v8".to_owned(),
        ("amd64", "") => "v1".to_owned(),
        ("arm", number @ ("5" | "6" | "8")) => format!("v{number}"),
        (_, other) => other.to_ascii_lowercase(),
    }
}

fn rank(variant: &str) -> Option<u32> {
    variant.strip_prefix('v')?.parse().ok().filter(|rank| *rank < 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> PlatformFields {
        PlatformFields::from(&text.parse::<Platform>().unwrap())
    }

    #[test]
    fn variants_are_chosen_as_a_machine_would_run_them() {
        for (wanted, candidate, fits) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/amd64/v1", true),
            ("linux/amd64", "linux/amd64/v2", false),
            ("linux/amd64/v3", "linux/amd64/v2", true),
            ("linux/amd64", "linux/x86_64", true),
            ("linux/arm", "linux/arm/v6", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/arm/v7", false),
            ("linux/amd64", "windows/amd64", false),
            ("linux/amd64", "unknown/unknown", false),
        ] {
            let platform: Platform = wanted.parse().unwrap();
            assert_eq!(fitness(&platform, &fields(candidate)).is_some(), fits, "{wanted} {candidate}");
        }
    }

    #[test]
    fn the_highest_variant_that_runs_wins() {
        let entries: Vec<Descriptor> = ["linux/arm/v5", "linux/arm/v7", "linux/arm/v6", "linux/amd64"]
            .iter()
            .map(|text| {
                let mut entry = Descriptor::of("", text.as_bytes());
                entry.platform = Some(fields(text));
                entry
            })
            .collect();
        let entries: Vec<&Descriptor> = entries.iter().collect();
        let best = best_entries(&"linux/arm/v6".parse().unwrap(), &entries);
        assert_eq!(best, [entries[2]]);
        assert!(best_entries(&"linux/s390x".parse().unwrap(), &entries).is_empty());
    }
}
