//! The cleanup section, as typed data for the operation that will read it.

use serde::Serialize;

/// What cleanup keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanupPolicies {
    /// Nothing is cleaned up.
    pub disabled: bool,
    /// Images in use in clusters are not looked for.
    pub without_kubernetes: bool,
    /// Git history keeps nothing.
    pub without_git_history: bool,
    /// Images built lately are not kept for that.
    pub without_recent_builds: bool,
    /// Images built within so many hours stay; `None` means the default.
    pub keep_built_within_hours: Option<u32>,
    /// What git history keeps; `None` means the default policies, an empty list none.
    pub keep: Option<Vec<KeepPolicy>>,
}

/// Keeps the images of some references of git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeepPolicy {
    /// Which references.
    pub references: ReferencePattern,
    /// How many of these references, counted from the newest.
    pub limit: Limit,
    /// How many images of each.
    pub images_per_reference: Limit,
}

/// Which references of git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReferencePattern {
    /// Branches of that name, or that match `/regex/`.
    Branch(String),
    /// Tags of that name, or that match `/regex/`.
    Tag(String),
}

/// A number, an age, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// The newest so many; -1 is all of them, `None` the default of the place.
    pub last: Option<i64>,
    /// Not older than so many nanoseconds.
    pub within: Option<i64>,
    /// How the two go together.
    pub operator: LimitOperator,
}

/// How a number and an age go together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitOperator {
    /// Both must hold.
    #[default]
    And,
    /// One is enough.
    Or,
}
