//! From a base's config to a new image's: pure functions, no clock, no files.
//!
//! The order of a build: [`base_state`] is what the base would run, [`apply_post`] the same after the image-post stage,
//! [`assemble`] adds the layers and the history, [`manifest`] names all blobs.
//!
//! Environment values of a post stage may mention variables: `$NAME` and `${NAME}` are the value *before* the stage (so
//! the order of entries means nothing), unset is empty. `$$` and `\$` are a plain `$`; a `$` that no name follows is
//! itself. Any other `${…}` is an error, so that nobody finds a shell default taken literally in an image.

use stages::ids::{BlobId, Platform};
use stages::spec::Post;

use super::spec::{
    Descriptor, Healthcheck, History, ImageConfig, Manifest, RunConfig, SpecError, media_type, oci_media_type,
};

/// A config that can't be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// `${…}` with something other than a name.
    #[error("cannot expand `{text}` in env {name}: only $NAME and ${{NAME}} are known")]
    Expansion {
        /// The variable being set.
        name: String,
        /// The part that isn't understood.
        text: String,
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
/// Left out is what says something about the base's own making: triggers (as Docker does, they are for the Dockerfile
/// built directly on it) and the container it was committed from.
pub fn base_state(config: &ImageConfig) -> RunConfig {
    const OF_THE_BUILD: [&str; 7] =
        ["Image", "Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce"];
    let mut state = config.config.clone();
    state.on_build.clear();
    state.extra.retain(|key, _| !OF_THE_BUILD.contains(&key.as_str()));
    state
}

/// The config after the image-post stage. Layers and history stay: [`assemble`] adds them.
///
/// An entrypoint without a command clears the inherited command; a command alone keeps the entrypoint.
pub fn apply_post(base: &ImageConfig, post: &Post) -> Result<ImageConfig, AssembleError> {
    let mut state = base_state(base);
    state.env = merge_env(&state.env, post)?;
    state.labels.extend(post.labels.clone());
    state.volumes.extend(post.volumes.iter().cloned());
    state.exposed_ports.extend(post.expose.iter().map(|port| with_protocol(port)));
    set_command(&mut state, post);
    if let Some(directory) = &post.workdir {
        state.working_dir.clone_from(directory);
    }
    if let Some(user) = &post.user {
        state.user.clone_from(user);
    }
    if let Some(signal) = &post.stop_signal {
        state.stop_signal = Some(signal.clone());
    }
    if let Some(check) = &post.healthcheck {
        state.healthcheck = Some(healthcheck(check));
    }
    Ok(ImageConfig { config: state, ..base.clone() })
}

fn set_command(state: &mut RunConfig, post: &Post) {
    if let Some(entrypoint) = &post.entrypoint {
        state.entrypoint.clone_from(entrypoint);
        state.cmd.clear();
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

fn healthcheck(check: &stages::spec::Healthcheck) -> Healthcheck {
    Healthcheck {
        test: check.test.clone(),
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
        extra: super::spec::Extra::new(),
    }
}

/// Existing variables keep their place, new ones follow in order of their names.
fn merge_env(before: &[String], post: &Post) -> Result<Vec<String>, AssembleError> {
    let mut after: Vec<String> = before.to_vec();
    for (name, value) in &post.env {
        let entry = format!("{name}={}", expand(name, value, before)?);
        let place = after.iter().position(|entry| variable(entry) == name);
        after.retain(|entry| variable(entry) != name);
        after.insert(place.unwrap_or(after.len()), entry);
    }
    Ok(after)
}

fn variable(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// The value of a variable: of several entries the last one counts, as for a program that is started with them.
pub fn env_value<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    env.iter().rev().find_map(|entry| entry.split_once('=').filter(|(found, _)| *found == name)).map(|(_, value)| value)
}

/// What container engines give a process whose image sets no `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn expand(target: &str, value: &str, env: &[String]) -> Result<String, AssembleError> {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        if let Some(before) = before.strip_suffix('\\') {
            out.push_str(before);
            out.push('$');
            rest = after;
            continue;
        }
        out.push_str(before);
        let (text, remainder) = reference(target, after, env)?;
        out.push_str(text);
        rest = remainder;
    }
    out.push_str(rest);
    Ok(out)
}

/// What stands after a `$` → its value, and the text that follows.
fn reference<'a>(target: &str, after: &'a str, env: &'a [String]) -> Result<(&'a str, &'a str), AssembleError> {
    if let Some(rest) = after.strip_prefix('$') {
        return Ok(("$", rest));
    }
    if let Some(braced) = after.strip_prefix('{') {
        let inner = braced.split_once('}').filter(|(name, _)| !name.is_empty() && name_length(name) == name.len());
        let (name, rest) = inner.ok_or_else(|| AssembleError::Expansion {
            name: target.to_owned(),
            text: format!("${}", after.split_inclusive('}').next().unwrap_or(after)),
        })?;
        return Ok((value_before(env, name), rest));
    }
    match name_length(after) {
        0 => Ok(("$", after)),
        length => Ok((value_before(env, &after[..length]), &after[length..])),
    }
}

/// The value of a variable before the stage; unset is empty, but for `PATH`, which containers have even so.
fn value_before<'a>(env: &'a [String], name: &str) -> &'a str {
    let default = if name == "PATH" { DEFAULT_PATH } else { "" };
    env_value(env, name).unwrap_or(default)
}

/// How many bytes at the start of `text` are a variable name.
fn name_length(text: &str) -> usize {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count()
}

/// Protects a value that must reach the image as it is from the expansion of [`apply_post`].
pub fn escape_env(value: &str) -> String {
    value.replace('$', "$$")
}

/// One line of new history, with the layer it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRef {
    /// Digest of the uncompressed tar; `None` for a change of the config only.
    pub diff_id: Option<BlobId>,
    /// What the history says, such as `stager build/compile`; never a command with its values.
    pub created_by: String,
}

/// The config of a finished image: `base` with `layers` on top. `epoch` (SOURCE_DATE_EPOCH, seconds since 1970) is the
/// only time that enters.
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
    match_history(&mut config, &created);
    config.created = Some(created.clone());
    let inherited = config.variant.take().filter(|_| config.architecture == platform.architecture());
    config.variant = platform.variant().map(ToOwned::to_owned).or(inherited);
    platform.os().clone_into(&mut config.os);
    platform.architecture().clone_into(&mut config.architecture);
    config.rootfs.diff_ids.extend(layers.iter().filter_map(|layer| layer.diff_id));
    config.history.extend(layers.iter().map(|layer| History {
        created: Some(created.clone()),
        created_by: layer.created_by.clone(),
        empty_layer: layer.diff_id.is_none(),
        ..History::default()
    }));
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
