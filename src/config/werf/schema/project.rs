//! The project section, which has `configVersion`.

use super::values::{Duration, Items, Maybe};
use crate::config::read::{At, MapOf, table};

table! {
    /// The section.
    ProjectSection {
        "configVersion" => config_version: Maybe<i64>,
        "project" => project: Maybe<String>,
        "build" => build: Maybe<Build>,
        "cleanup" => cleanup: Cleanup,
        "deploy" => deploy: Maybe<Deploy>,
        "gitWorktree" => git_worktree: Maybe<GitWorktree>,
    }

    /// `build`: defaults of all images.
    Build {
        "cacheVersion" => cache_version: String,
        "platform" => platform: Vec<At<String>>,
        "staged" => staged: bool,
        "imageSpec" => image_spec: Maybe<GlobalImageSpec>,
    }

    /// `build.imageSpec`.
    GlobalImageSpec {
        "author" => author: String,
        "clearHistory" => clear_history: bool,
        "config" => config: Maybe<GlobalImageSpecConfig>,
    }

    /// `build.imageSpec.config`.
    GlobalImageSpecConfig {
        "labels" => labels: MapOf<String>,
        "removeLabels" => remove_labels: Vec<At<String>>,
        "keepEssentialWerfLabels" => keep_essential_werf_labels: bool,
        "clearWerfLabels" => clear_werf_labels: bool,
    }

    /// `cleanup`.
    Cleanup {
        "disable" => disable: bool,
        "disableKubernetesBasedPolicy" => disable_kubernetes: bool,
        "disableGitHistoryBasedPolicy" => disable_git_history: bool,
        "disableBuiltWithinLastNHoursPolicy" => disable_built_within: bool,
        "keepImagesBuiltWithinLastNHours" => keep_built_within_hours: Maybe<u32>,
        "keepPolicies" => keep_policies: Items<KeepPolicyTable>,
    }

    /// An entry of `cleanup.keepPolicies`.
    KeepPolicyTable {
        "references" => references: Maybe<References>,
        "imagesPerReference" => images_per_reference: Maybe<Limits>,
    }

    /// `references` of a keep policy.
    References {
        "branch" => branch: String,
        "tag" => tag: String,
        "limit" => limit: Maybe<Limits>,
    }

    /// How many, and how old.
    Limits {
        "last" => last: Maybe<i64>,
        "in" => within: Maybe<Duration>,
        "operator" => operator: Maybe<String>,
    }

    /// `deploy`: read, checked, and of no use to a build.
    Deploy {
        "helmChartConfig" => helm_chart_config: Maybe<HelmChartConfig>,
        "helmChartDir" => helm_chart_dir: Maybe<String>,
        "helmRelease" => helm_release: Maybe<String>,
        "helmReleaseSlug" => helm_release_slug: Maybe<bool>,
        "namespace" => namespace: Maybe<String>,
        "namespaceSlug" => namespace_slug: Maybe<bool>,
    }

    /// `deploy.helmChartConfig`.
    HelmChartConfig {
        "appVersion" => app_version: Maybe<String>,
    }

    /// `gitWorktree`: how werf may fetch history, which stager does without.
    GitWorktree {
        "forceShallowClone" => force_shallow_clone: Maybe<bool>,
        "allowUnshallow" => allow_unshallow: Maybe<bool>,
        "allowFetchOriginBranchesAndTags" => allow_fetch: Maybe<bool>,
    }
}
