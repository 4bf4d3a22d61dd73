//! Words for programs about what is wrong with a `werf.yaml`.

/// A section is neither the project nor an image.
pub(super) const SECTION_KIND: &str = "section-kind";
/// There is no project section.
pub(super) const META_MISSING: &str = "meta-missing";
/// There are two project sections.
pub(super) const META_DUPLICATE: &str = "meta-duplicate";
/// `configVersion` is another one.
pub(super) const META_VERSION: &str = "meta-version";
/// `project` is missing or no project name.
pub(super) const META_PROJECT: &str = "meta-project";
/// A value is neither text nor a list of texts.
pub(super) const STRING_OR_LIST: &str = "string-or-list";
/// A value cannot name an image.
pub(super) const IMAGE_NAME: &str = "image-name";
/// Two images have one name, or one without a name is beside others.
pub(super) const NAME_CONFLICT: &str = "image-name-conflict";
/// A path has to be absolute, relative, or inside something.
pub(super) const PATH: &str = "directive-path";
/// Directives exclude each other.
pub(super) const CONFLICT: &str = "directive-conflict";
/// A directive is missing.
pub(super) const REQUIRED: &str = "directive-required";
/// A directive means nothing for this kind of image.
pub(super) const UNSUPPORTED: &str = "directive-unsupported";
/// A directive has a value that it does not take.
pub(super) const VALUE: &str = "directive-value";
