//! `scenarios.jsonl` as its README describes it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

#[derive(Deserialize)]
pub(super) struct Scenario {
    pub(super) id: String,
    pub(super) group: String,
    pub(super) look_images: Option<Vec<String>>,
    #[serde(default)]
    pub(super) bases: BTreeMap<String, String>,
    pub(super) backend: Option<String>,
    #[serde(default)]
    pub(super) strict: bool,
    pub(super) origin: Option<String>,
    #[serde(default)]
    pub(super) quirk: bool,
    pub(super) states: Vec<State>,
}

#[derive(Deserialize)]
pub(super) struct State {
    pub(super) files: BTreeMap<String, File>,
    pub(super) git: Option<Place>,
    #[serde(default)]
    pub(super) worktree: BTreeMap<String, File>,
    #[serde(default)]
    pub(super) home: BTreeMap<String, File>,
    #[serde(default)]
    pub(super) bases: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) args: Vec<String>,
    pub(super) build: Option<bool>,
    pub(super) commit: String,
    rc: Option<Json>,
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) stages_before_failure: Vec<Stage>,
    #[serde(default)]
    pub(super) images: BTreeMap<String, Image>,
}

impl State {
    /// Whether werf built it. A build that never ended is one that failed.
    pub(super) fn succeeded(&self) -> bool {
        self.rc == Some(Json::from(0))
    }
}

/// A file of a commit; exactly one of the ways to say what it holds is there.
#[derive(Deserialize)]
pub(super) struct File {
    pub(super) content: Option<String>,
    pub(super) base64: Option<String>,
    pub(super) repeat: Option<(String, usize)>,
    pub(super) symlink: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) submodule: Option<Submodule>,
}

#[derive(Deserialize)]
pub(super) struct Submodule {
    pub(super) repo: String,
    pub(super) n: i64,
    pub(super) files: BTreeMap<String, File>,
}

/// Where a commit is in the history; states are counted from 1.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    Parents(Vec<usize>),
    Checkout(usize),
}

#[derive(Deserialize)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) status: String,
}

#[derive(Deserialize)]
pub(super) struct Image {
    pub(super) stages: Vec<Stage>,
    pub(super) config: Json,
    #[serde(default)]
    pub(super) tree: BTreeMap<String, BTreeMap<String, Found>>,
}

impl Image {
    /// Whether werf made its git content in this run as a whole, and not as patches on that of an earlier commit.
    pub(super) fn is_cold(&self) -> bool {
        self.stages.iter().all(|stage| stage.name != "gitArchive" || stage.status == "built")
            && self.stages.iter().all(|stage| !["gitCache", "gitLatestPatch"].contains(&stage.name.as_str()))
    }
}

/// What a path is; times are not recorded.
#[derive(Deserialize, Debug)]
pub(super) struct Found {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) mode: Option<String>,
    pub(super) own: String,
    pub(super) sha256: Option<String>,
    pub(super) text: Option<String>,
    pub(super) target: Option<String>,
    #[serde(default)]
    pub(super) normalised: bool,
}
