//! `differences.toml`: what may differ from the records, and why.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use fs_err as fs;
use serde::Deserialize;

use super::compare::Mismatch;
use super::scenario::Scenario;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Differences {
    difference: Vec<Difference>,
}

/// One difference: the scenarios, and what in them. What is not given is not asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    id: Option<String>,
    group: Option<String>,
    /// Only scenarios that show something which looks like a defect of werf.
    quirk: Option<bool>,
    /// States, counted from 1.
    states: Option<Vec<usize>>,
    /// Nothing of it is built: the error contains this text.
    refused: Option<String>,
    aspects: Option<Vec<String>>,
    /// What the place of the difference starts with.
    places: Option<Vec<String>>,
    reason: String,
    #[serde(skip)]
    used: AtomicBool,
}

impl Differences {
    pub(super) fn read(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("differences.toml")).unwrap();
        let differences: Self = toml::from_str(&text).unwrap();
        for difference in &differences.difference {
            assert!(!difference.reason.is_empty(), "a difference has a reason");
            assert!(difference.id.is_some() || difference.group.is_some(), "a difference says where");
        }
        differences
    }

    /// What the error must contain where a scenario is not built at all.
    pub(super) fn refusal(&self, scenario: &Scenario) -> Option<&str> {
        let found = self.difference.iter().find(|one| one.refused.is_some() && one.is_about(scenario))?;
        found.used.store(true, Ordering::Relaxed);
        found.refused.as_deref()
    }

    pub(super) fn covers(&self, scenario: &Scenario, state: usize, mismatch: &Mismatch) -> bool {
        let covers = |one: &&Difference| {
            let given = |list: &Option<Vec<String>>, fits: &dyn Fn(&String) -> bool| {
                list.as_ref().is_none_or(|list| list.iter().any(fits))
            };
            one.refused.is_none()
                && one.is_about(scenario)
                && one.states.as_ref().is_none_or(|states| states.contains(&state))
                && given(&one.aspects, &|aspect| aspect == mismatch.aspect)
                && given(&one.places, &|place| mismatch.place.starts_with(place.as_str()))
        };
        let found = self.difference.iter().find(covers);
        found.inspect(|one| one.used.store(true, Ordering::Relaxed)).is_some()
    }

    /// The reasons that nothing needed.
    pub(super) fn unused(&self) -> Vec<&str> {
        let unused = self.difference.iter().filter(|one| !one.used.load(Ordering::Relaxed));
        unused.map(|one| one.reason.as_str()).collect()
    }
}

impl Difference {
    fn is_about(&self, scenario: &Scenario) -> bool {
        self.id.as_ref().is_none_or(|id| *id == scenario.id)
            && self.group.as_ref().is_none_or(|group| *group == scenario.group)
            && self.quirk.is_none_or(|quirk| quirk == scenario.quirk)
    }
}
