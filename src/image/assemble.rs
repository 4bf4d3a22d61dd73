//! From a base's config to a new image's: pure functions, no clock, no files.
//!
//! The order of a build: [`base_state`] is what the base would run, [`apply_post`] the same after the image-post stage,
//! [`assemble`] adds the layers and the history, [`manifest`] names all blobs.
//!
//! Texts of a post stage may mention variables; they mean the environment *before* the stage, also of what the stage removes,
//! so that the order of entries means nothing. How a text is read (`expand`) is the stage's choice of [`PostRules`].

mod expand;
mod remove;

use stages::ids::{BlobId, Platform};
use stages::spec::{Post, PostRules};

pub use expand::DEFAULT_PATH;
use expand::{Syntax, expand};

use super::spec::{
    Descriptor, Healthcheck, History, ImageConfig, Manifest, RunConfig, SpecError, media_type, oci_media_type,
};

/// A config that can't be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// `${…}` with something that isn't known there.
    #[error("cannot expand `{text}` in {what}: {known} are known")]
    Expansion {
        /// Whose text it is.
        what: String,
        /// The part that isn't understood.
        text: String,
        /// What would be.
        known: &'static str,
    },
    /// `${NAME:?message}` of a variable that the base doesn't have.
    #[error("{what} needs the variable {name}, which the base does not set: {message}")]
    Unset {
        /// Whose text it is.
        what: String,
        /// The variable.
        name: String,
        /// What the text says of it.
        message: String,
    },
    /// A quote without an end.
    #[error("{what} has `{quote}` without its end in `{text}`; to mean the character itself, write `\\` before it")]
    Quote {
        /// Whose text it is.
        what: String,
        /// The quote.
        quote: String,
        /// The text.
        text: String,
    },
    /// A regular expression that can't be read.
    #[error("cannot read the expression `{pattern}` among the {what} to remove: {reason}")]
    Pattern {
        /// What was to be removed.
        what: &'static str,
        /// As written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// SOURCE_DATE_EPOCH out of range.
    #[error("{epoch} seconds since 1970 is no time that a config can hold")]
    Epoch {
        /// As given.
        epoch: u64,
    },
    /// A layer that an OCI manifest can't name.
    #[error(transparent)]
    Layer(#[from] SpecError),
}

/// What the base runs by itself: the state that steps replace by service values, and that is restored afterwards.
///
/// Left out is what says something about the base's own making, such as the container it was committed from.
pub fn base_state(config: &ImageConfig) -> RunConfig {
    const OF_THE_BUILD: [&str; 7] =
        ["Image", "Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce"];
    let mut state = config.config.clone();
    state.extra.retain(|key, _| !OF_THE_BUILD.contains(&key.as_str()));
    state
}

/// The config that an image starts with when it stands on another one. Triggers are for the Dockerfile that is built directly
/// on the image which has them, as with Docker: no image inherits them.
pub fn inherited(mut base: ImageConfig) -> ImageConfig {
    base.config.on_build.clear();
    base
}

/// The config after the image-post stage: what is to go goes, then the rest is added. Layers stay, and so does the history
/// unless the stage clears it: [`assemble`] adds to them.
///
/// An entrypoint without a command clears the inherited command; a command alone keeps the entrypoint. (To take an entrypoint
/// away says nothing of the command, but in the native format.)
pub fn apply_post(base: &ImageConfig, post: &Post) -> Result<ImageConfig, AssembleError> {
    let mut state = base_state(base);
    let texts = Texts { env: &base.config.env, rules: post.rules };
    remove::remove(&mut state, &post.remove)?;
    add_env(&mut state.env, post, &texts)?;
    for (key, value) in &post.labels {
        state.labels.insert(key.clone(), texts.read(&format!("label {key}"), value)?);
    }
    for volume in &post.volumes {
        state.volumes.insert(texts.read("volume", volume)?);
    }
    for port in &post.expose {
        state.exposed_ports.insert(with_protocol(&texts.read("port", port)?));
    }
    set_command(&mut state, post);
    if let Some(directory) = &post.workdir {
        state.working_dir = absolute(&texts.read("working directory", directory)?);
    }
    if let Some(user) = &post.user {
        state.user = texts.read("user", user)?;
    }
    if let Some(signal) = &post.stop_signal {
        state.stop_signal = Some(texts.read("stop signal", signal)?).filter(|signal| !signal.is_empty());
    }
    if let Some(check) = &post.healthcheck {
        let before = state.healthcheck.take().filter(|_| post.rules == PostRules::Instructions);
        state.healthcheck = Some(healthcheck(check, before.unwrap_or_default()));
    }
    if !post.on_build.is_empty() {
        state.on_build.clone_from(&post.on_build);
    }
    let author = post.author.clone().or_else(|| base.author.clone()).filter(|author| !author.is_empty());
    let history = if post.clear_history { Vec::new() } else { base.history.clone() };
    Ok(ImageConfig { config: state, author, history, ..base.clone() })
}

/// Sets a variable to a value as it is, whatever is in it.
pub fn set_variable(config: &mut ImageConfig, name: &str, value: &str) {
    put(&mut config.config.env, name, value);
}

/// Reads the texts of a post stage.
struct Texts<'a> {
    /// Before the stage.
    env: &'a [String],
    rules: PostRules,
}

impl Texts<'_> {
    /// A value of the environment, where variables are known by any rules.
    fn env(&self, name: &str, text: &str) -> Result<String, AssembleError> {
        let (defaults, quotes) = match self.rules {
            PostRules::Plain => (false, false),
            PostRules::Instructions => (true, false),
            PostRules::Words => (true, true),
        };
        expand(&format!("env {name}"), text, self.env, Syntax { defaults, quotes })
    }

    /// Any other text.
    fn read(&self, what: &str, text: &str) -> Result<String, AssembleError> {
        match self.rules {
            PostRules::Plain | PostRules::Words => Ok(text.to_owned()),
            PostRules::Instructions => expand(what, text, self.env, Syntax { defaults: true, quotes: false }),
        }
    }
}

/// A directory that does not start at the root is meant from there: an engine refuses it as it is.
fn absolute(directory: &str) -> String {
    if directory.is_empty() || directory.starts_with('/') {
        return directory.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn set_command(state: &mut RunConfig, post: &Post) {
    if let Some(entrypoint) = &post.entrypoint {
        state.entrypoint.clone_from(entrypoint);
        if !entrypoint.is_empty() || post.rules == PostRules::Plain {
            state.cmd.clear();
        }
        state.args_escaped = None;
    }
    if let Some(command) = &post.cmd {
        state.cmd.clone_from(command);
        state.args_escaped = None;
    }
}

fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// What the check leaves out is taken from the one `before`.
fn healthcheck(check: &stages::spec::Healthcheck, before: Healthcheck) -> Healthcheck {
    Healthcheck {
        test: if check.test.is_empty() { before.test } else { check.test.clone() },
        interval: check.interval.or(before.interval),
        timeout: check.timeout.or(before.timeout),
        start_period: check.start_period.or(before.start_period),
        start_interval: check.start_interval.or(before.start_interval),
        retries: check.retries.or(before.retries),
        extra: before.extra,
    }
}

/// Existing variables keep their place, new ones follow in order of their names.
fn add_env(env: &mut Vec<String>, post: &Post, texts: &Texts<'_>) -> Result<(), AssembleError> {
    for (name, value) in &post.env {
        put(env, name, &texts.env(name, value)?);
    }
    Ok(())
}

fn put(env: &mut Vec<String>, name: &str, value: &str) {
    let place = env.iter().position(|entry| variable(entry) == name);
    env.retain(|entry| variable(entry) != name);
    env.insert(place.unwrap_or(env.len()), format!("{name}={value}"));
}

fn variable(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// The value of a variable: of several entries the last one counts, as for a program that is started with them.
pub fn env_value<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    env.iter().rev().find_map(|entry| entry.split_once('=').filter(|(found, _)| *found == name)).map(|(_, value)| value)
}

/// One line of new history, with the layer it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRef {
    /// Digest of the uncompressed tar; `None` for a change of the config only.
    pub diff_id: Option<BlobId>,
    /// What the history says, such as `stager build/compile`; never a command with its values. Empty when the history was
    /// cleared.
    pub created_by: String,
}

/// The config of a finished image: `base` with `layers` on top. `epoch` (SOURCE_DATE_EPOCH, seconds since 1970) is the
/// only time that enters.
///
/// Where neither the base nor a layer has a history, as after it was cleared, there is none at all; otherwise each layer has its
/// line.
pub fn assemble(
    base: &ImageConfig,
    platform: &Platform,
    layers: &[LayerRef],
    epoch: u64,
) -> Result<ImageConfig, AssembleError> {
    let timestamp = i64::try_from(epoch).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let created = timestamp.ok_or(AssembleError::Epoch { epoch })?.to_string();
    let mut config = ImageConfig { config: base_state(base), ..base.clone() };
    config.extra.retain(|key, _| !of_the_base_only(key));
    let has_history = !config.history.is_empty() || layers.iter().any(|layer| !layer.created_by.is_empty());
    if has_history {
        match_history(&mut config, &created);
    }
    config.created = Some(created.clone());
    let inherited = config.variant.take().filter(|_| config.architecture == platform.architecture());
    config.variant = platform.variant().map(ToOwned::to_owned).or(inherited);
    platform.os().clone_into(&mut config.os);
    platform.architecture().clone_into(&mut config.architecture);
    config.rootfs.diff_ids.extend(layers.iter().filter_map(|layer| layer.diff_id));
    if has_history {
        config.history.extend(layers.iter().map(|layer| History {
            created: Some(created.clone()),
            created_by: layer.created_by.clone(),
            empty_layer: layer.diff_id.is_none(),
            ..History::default()
        }));
    }
    Ok(config)
}

/// Fields that describe how the base was made, and would be untrue of an image built on it.
fn of_the_base_only(key: &str) -> bool {
    matches!(key, "id" | "parent" | "parent_id" | "container" | "container_config" | "docker_version")
        || key.starts_with("moby.buildkit.")
}

/// Tools read the history and the layers in step; a base without (or with too much) history would shift every line that
/// follows. Layers without history get a line without a maker, surplus lines lose their layer.
fn match_history(config: &mut ImageConfig, created: &str) {
    let layers = config.rootfs.diff_ids.len();
    let lines = config.history.iter().filter(|line| !line.empty_layer).count();
    for line in config.history.iter_mut().filter(|line| !line.empty_layer).take(lines.saturating_sub(layers)) {
        line.empty_layer = true;
    }
    let nameless =
        || History { created: Some(created.to_owned()), created_by: "base".to_owned(), ..History::default() };
    config.history.resize_with(config.history.len() + layers.saturating_sub(lines), nameless);
}

/// The manifest of an image: always OCI, so a base's Docker layer types become OCI's.
pub fn manifest(
    config: Descriptor,
    layers: Vec<Descriptor>,
    annotations: std::collections::BTreeMap<String, String>,
) -> Result<Manifest, AssembleError> {
    let relabel = |mut layer: Descriptor| -> Result<Descriptor, SpecError> {
        oci_media_type(&layer.media_type)?.clone_into(&mut layer.media_type);
        Ok(layer)
    };
    Ok(Manifest {
        schema_version: 2,
        media_type: Some(media_type::MANIFEST.to_owned()),
        config: Descriptor { media_type: media_type::CONFIG.to_owned(), ..config },
        layers: layers.into_iter().map(relabel).collect::<Result<_, _>>()?,
        annotations,
        extra: super::spec::Extra::new(),
    })
}

#[cfg(test)]
mod tests;
