//! Words for programs about what is wrong with a `werf.yaml`.

/// The comment in the head names no dialect that the file can have.
pub(in crate::config) const DIALECT: &str = "dialect";
/// A directive that the line of werf which the file is written for has no longer.
pub(in crate::config) const REMOVED: &str = "directive-removed";
/// A section is neither the project nor an image.
pub(in crate::config) const SECTION_KIND: &str = "section-kind";
/// There is no project section.
pub(in crate::config) const META_MISSING: &str = "meta-missing";
/// There are two project sections.
pub(in crate::config) const META_DUPLICATE: &str = "meta-duplicate";
/// `configVersion` is another one.
pub(in crate::config) const META_VERSION: &str = "meta-version";
/// `project` is missing or no project name.
pub(in crate::config) const META_PROJECT: &str = "meta-project";
/// A value is neither text nor a list of texts.
pub(in crate::config) const STRING_OR_LIST: &str = "string-or-list";
/// A value cannot name an image.
pub(in crate::config) const IMAGE_NAME: &str = "image-name";
/// Two images have one name, or one without a name is beside others.
pub(in crate::config) const NAME_CONFLICT: &str = "image-name-conflict";
/// An image of a registry is named without saying which version of it.
pub(in crate::config) const UNVERSIONED: &str = "image-unversioned";
/// A path has to be absolute, relative, or inside something.
pub(in crate::config) const PATH: &str = "directive-path";
/// Directives exclude each other.
pub(in crate::config) const CONFLICT: &str = "directive-conflict";
/// A directive is missing.
pub(in crate::config) const REQUIRED: &str = "directive-required";
/// A directive means nothing for this kind of image.
pub(in crate::config) const UNSUPPORTED: &str = "directive-unsupported";
/// A directive has a value that it does not take.
pub(in crate::config) const VALUE: &str = "directive-value";
