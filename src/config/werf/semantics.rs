//! The lines of werf's releases that a `werf.yaml` can be read as, and all that differs between them, in one table.

use super::code;
use crate::config::read::Withheld;

/// A line of releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Semantics {
    /// v2, the later releases where it changed.
    #[default]
    V2,
    /// v3, which has fewer keys, and takes less for granted.
    V3,
}

impl Semantics {
    /// What holds in this line.
    pub(in crate::config) fn rules(self) -> &'static Rules {
        match self {
            Self::V2 => &V2,
            Self::V3 => &V3,
        }
    }
}

/// What becomes of a form that works in one of the lines at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Verdict {
    Accepted,
    Warned,
    Refused,
}

/// What a line makes of the forms that the lines differ in.
#[derive(Debug)]
pub(in crate::config) struct Rules {
    /// Keys that are not there.
    pub(in crate::config) withheld: &'static [Withheld],
    /// The key that names the image of a dependency; the other one is deprecated, where it is there at all.
    pub(in crate::config) dependency_key: &'static str,
    /// The patterns of a user stage that `stageDependencies` has none for.
    pub(in crate::config) stage_dependencies: &'static [&'static str],
    /// `stageDependencies` for a stage without commands.
    pub(in crate::config) idle_dependencies: Verdict,
    /// Names of images that are not plain, among them no name and `scratch`.
    pub(in crate::config) odd_names: Verdict,
    /// An image of a registry without a tag or digest, which is its `latest` one.
    pub(in crate::config) unversioned: Verdict,
    /// An image that starts from its own name, which is an image of a registry then.
    pub(in crate::config) own_name_as_base: Verdict,
    /// `from` beside `fromImage`, which makes it meaningless.
    pub(in crate::config) from_beside_from_image: Verdict,
    /// `fromLatest` for `scratch`, which is no image.
    pub(in crate::config) latest_scratch: Verdict,
    /// A slash at the end of `to`, which says nothing.
    pub(in crate::config) slash_after_to: Verdict,
    /// Imports that place the same, or one inside the other.
    pub(in crate::config) meeting_imports: Verdict,
    /// The id of an image as a dependency's value.
    pub(in crate::config) image_id: Verdict,
    /// A Dockerfile of the project that is not below its context.
    pub(in crate::config) dockerfile_beside_context: Verdict,
}

const V2: Rules = Rules {
    withheld: &[Withheld {
        path: "dependencies.from",
        code: "unknown-field",
        reason: "is a key of werf v3",
        instead: "write `image`, or `# stager-dialect: werf-v3` into the first line of the file",
    }],
    dependency_key: "image",
    stage_dependencies: &[],
    idle_dependencies: Verdict::Warned,
    odd_names: Verdict::Accepted,
    unversioned: Verdict::Accepted,
    own_name_as_base: Verdict::Accepted,
    from_beside_from_image: Verdict::Warned,
    latest_scratch: Verdict::Accepted,
    slash_after_to: Verdict::Warned,
    meeting_imports: Verdict::Refused,
    image_id: Verdict::Accepted,
    dockerfile_beside_context: Verdict::Refused,
};

const V3: Rules = Rules {
    withheld: &[
        removed("artifact", "make it an `image` with `final: false`"),
        removed("fromArtifact", "write `from`, and make the artifact an `image` with `final: false`"),
        removed("disableGitAfterPatch", "leave it out: `stageDependencies` say which files run a stage again"),
        removed("docker", "write `imageSpec`"),
        removed("ansible", "write the tasks as `shell` commands"),
        removed("import.artifact", "write `from`, and make the artifact an `image` with `final: false`"),
        removed("import.stage", "make an image that ends with that stage, and import `from` that"),
    ],
    dependency_key: "from",
    stage_dependencies: &["**/*"],
    idle_dependencies: Verdict::Refused,
    odd_names: Verdict::Refused,
    unversioned: Verdict::Refused,
    own_name_as_base: Verdict::Refused,
    from_beside_from_image: Verdict::Refused,
    latest_scratch: Verdict::Refused,
    slash_after_to: Verdict::Refused,
    meeting_imports: Verdict::Accepted,
    image_id: Verdict::Refused,
    dockerfile_beside_context: Verdict::Accepted,
};

const fn removed(path: &'static str, instead: &'static str) -> Withheld {
    Withheld { path, code: code::REMOVED, reason: "is gone in werf v3", instead }
}
