//! Files that are placed or mounted: `git`, `import`, `mount`.

use std::collections::BTreeMap;

use stages::spec::{
    GitMapping, GitReference, GitSource, Import, ImportPlaces, ImportSource, Mount, MountSource, Owner,
};

use super::context::{Context, image_name};
use super::project::within;
use crate::config::claim::Claim;
use crate::config::read::At;
use crate::config::reference;
use crate::config::rules::{Rule, absolute_path, account, git_reference, git_url, path_below_root, pattern};
use crate::config::stager::schema::{GitEntry, ImportEntry, MountEntry};
use crate::config::yaml::Mark;

pub(super) fn git(context: &mut Context<'_>, entries: Option<&At<Vec<At<GitEntry>>>>) -> Vec<GitMapping> {
    let entries = entries.map(|entries| entries.value.as_slice()).unwrap_or_default();
    let mapping = |(index, entry): (usize, &At<GitEntry>)| {
        within(context, &["git"], Some(index), |context| git_mapping(context, &entry.value))
    };
    entries.iter().enumerate().filter_map(mapping).collect()
}

fn git_mapping(context: &mut Context<'_>, entry: &GitEntry) -> Option<GitMapping> {
    let here = (entry.mark, entry.broken.as_slice());
    let source = git_source(context, entry);
    let add = context.checked("add", entry.add.as_ref(), absolute_path);
    let to = context.required(here, "to", entry.to.as_ref(), absolute_path);
    Some(GitMapping {
        include_paths: context.list("includePaths", entry.include_paths.as_ref(), pattern),
        exclude_paths: context.list("excludePaths", entry.exclude_paths.as_ref(), pattern),
        owner: owner(context, entry.owner.as_ref(), entry.group.as_ref()),
        source: source?,
        add: add.unwrap_or_else(|| "/".to_owned()),
        to: to?,
        directory_mode: GitMapping::DIRECTORY_MODE,
        required: false,
    })
}

fn git_source(context: &mut Context<'_>, entry: &GitEntry) -> Option<GitSource> {
    let mark = |field: &Option<At<String>>| field.as_ref().map(|field| field.mark);
    let set = context.exclusive(&[
        ("commit", mark(&entry.commit)),
        ("tag", mark(&entry.tag)),
        ("branch", mark(&entry.branch)),
    ]);
    let Some(url) = &entry.url else {
        let stray = [("commit", &entry.commit), ("tag", &entry.tag), ("branch", &entry.branch)];
        for (key, field) in stray.into_iter().filter_map(|(key, field)| Some((key, field.as_ref()?))) {
            if !entry.broken.contains(&"url") {
                let path = context.reader.path_to(key);
                let problem = context.reader.error(field.mark, format!("`{path}` goes with `url` only"));
                problem.help = Some("without `url`, the content is that of the commit being built".to_owned());
            }
        }
        return Some(GitSource::Local);
    };
    let address = context.checked("url", Some(url), git_url);
    if set.is_none() && !["commit", "tag", "branch"].iter().any(|key| entry.broken.contains(key)) {
        let path = context.reader.path_to("url");
        let problem = context.reader.error(url.mark, format!("`{path}` needs a `commit`, a `tag` or a `branch`"));
        problem.help = Some("a commit is the only one that never moves".to_owned());
    }
    let commit = context.checked("commit", entry.commit.as_ref(), commit_id).map(GitReference::Commit);
    let tag = context.checked("tag", entry.tag.as_ref(), git_reference).map(GitReference::Tag);
    let branch = context.checked("branch", entry.branch.as_ref(), git_reference).map(GitReference::Branch);
    let (url, reference) = (address?, commit.or(tag).or(branch)?);
    if let (GitReference::Branch(branch), Some(mark)) = (&reference, mark(&entry.branch)) {
        context.claim(mark, Claim::GitBranch { url: url.clone(), branch: branch.clone() });
    }
    Some(GitSource::Remote { url, reference })
}

fn commit_id(text: &str) -> Rule<String> {
    let lower = text.to_ascii_lowercase();
    match lower.parse::<stages::ObjectId>() {
        Ok(_) => Ok(lower),
        Err(_) => Err("must be a full commit id: 40 or 64 hexadecimal digits".to_owned()),
    }
}

fn owner(context: &mut Context<'_>, user: Option<&At<String>>, group: Option<&At<String>>) -> Owner {
    Owner { user: context.checked("owner", user, account), group: context.checked("group", group, account) }
}

/// The imports, and where each names its source.
pub(super) fn imports(context: &mut Context<'_>, entries: Option<&At<Vec<At<ImportEntry>>>>) -> Vec<PlacedImport> {
    let entries = entries.map(|entries| entries.value.as_slice()).unwrap_or_default();
    let import = |(index, entry): (usize, &At<ImportEntry>)| {
        within(context, &["import"], Some(index), |context| one_import(context, &entry.value))
    };
    let mut placed: Vec<PlacedImport> = entries.iter().enumerate().filter_map(import).collect();
    placed.sort_by_key(|placed| placed.position);
    placed
}

/// When an import happens, in the conveyor's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ImportPosition {
    /// Before packages are installed.
    BeforeDeps,
    /// After the deps steps.
    AfterDeps,
    /// Before the first build step.
    BeforeBuild,
    /// After the last build step.
    AfterBuild,
}

/// An import, when it happens, and where its source is named.
pub(super) struct PlacedImport {
    pub(super) import: Import,
    pub(super) position: ImportPosition,
    pub(super) mark: Mark,
}

fn one_import(context: &mut Context<'_>, entry: &ImportEntry) -> Option<PlacedImport> {
    let here = (entry.mark, entry.broken.as_slice());
    let source = import_source(context, entry);
    let position = import_position(context, entry);
    let add = context.required(here, "add", entry.add.as_ref(), absolute_path);
    let to = context.checked("to", entry.to.as_ref(), absolute_path);
    let include_paths = context.list("includePaths", entry.include_paths.as_ref(), pattern);
    let exclude_paths = context.list("excludePaths", entry.exclude_paths.as_ref(), pattern);
    let owner = owner(context, entry.owner.as_ref(), entry.group.as_ref());
    let (source, mark) = source?;
    let add = add?;
    let to = to.unwrap_or_else(|| add.clone());
    let places = ImportPlaces::Exact;
    let import = Import { source, stage: None, add, to, include_paths, exclude_paths, owner, required: true, places };
    Some(PlacedImport { import, position: position?, mark })
}

fn import_source(context: &mut Context<'_>, entry: &ImportEntry) -> Option<(ImportSource, Mark)> {
    let mark = |field: &Option<At<String>>| field.as_ref().map(|field| field.mark);
    let keys = [
        ("fromImage", mark(&entry.from_image)),
        ("fromArtifact", mark(&entry.from_artifact)),
        ("from", mark(&entry.from)),
    ];
    let Some(key) = context.exclusive(&keys) else {
        if !keys.iter().any(|(key, _)| entry.broken.contains(key)) {
            let path = context.reader.path();
            let problem = context.reader.error(entry.mark, format!("`{path}` does not say where from"));
            problem.help = Some("add exactly one of `fromImage`, `fromArtifact` and `from`".to_owned());
        }
        return None;
    };
    let source = match key {
        "fromImage" => context.checked(key, entry.from_image.as_ref(), image_name).map(ImportSource::Image),
        "fromArtifact" => context.checked(key, entry.from_artifact.as_ref(), image_name).map(ImportSource::Artifact),
        _ => context.checked(key, entry.from.as_ref(), registry_image).map(ImportSource::External),
    };
    let mark = keys.iter().find(|(name, _)| *name == key).and_then(|(_, mark)| *mark);
    Some((source?, mark?))
}

fn registry_image(text: &str) -> Rule<String> {
    let file = ["oci:", "oci-archive:", "docker-archive:", "rootfs:"].iter().any(|prefix| text.starts_with(prefix));
    if text == "scratch" || file {
        return Err("must be an image of a registry; make other bases an artifact, and import from that".to_owned());
    }
    reference::canonical(text)
}

fn import_position(context: &mut Context<'_>, entry: &ImportEntry) -> Option<ImportPosition> {
    let mark = |field: &Option<At<String>>| field.as_ref().map(|field| field.mark);
    let set = context.exclusive(&[("before", mark(&entry.before)), ("after", mark(&entry.after))]);
    if set.is_none() && !["before", "after"].iter().any(|key| entry.broken.contains(key)) {
        let path = context.reader.path();
        let problem = context.reader.error(entry.mark, format!("`{path}` does not say when"));
        problem.help = Some("add `before: deps`, `after: deps`, `before: build` or `after: build`".to_owned());
    }
    let before = context.checked("before", entry.before.as_ref(), |text| {
        slot(text, ImportPosition::BeforeDeps, ImportPosition::BeforeBuild)
    });
    before.or_else(|| {
        context.checked("after", entry.after.as_ref(), |text| {
            slot(text, ImportPosition::AfterDeps, ImportPosition::AfterBuild)
        })
    })
}

fn slot(text: &str, deps: ImportPosition, build: ImportPosition) -> Rule<ImportPosition> {
    match text {
        "deps" => Ok(deps),
        "build" => Ok(build),
        _ => Err("must be `deps` or `build`".to_owned()),
    }
}

pub(super) fn mounts(context: &mut Context<'_>, entries: Option<&At<Vec<At<MountEntry>>>>) -> Vec<Mount> {
    let entries = entries.map(|entries| entries.value.as_slice()).unwrap_or_default();
    let mut seen: BTreeMap<String, Mark> = BTreeMap::new();
    let mut mounts = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let mount = within(context, &["mount"], Some(index), |context| mount(context, &entry.value));
        let Some(mount) = mount else { continue };
        if let Some(earlier) = seen.insert(mount.to.clone(), entry.mark) {
            let related = context.reader.place(earlier);
            let problem = context.reader.error(entry.mark, format!("two mounts at `{}`", mount.to));
            *problem = problem.clone().related(related, "first here");
        }
        mounts.push(mount);
    }
    mounts
}

fn mount(context: &mut Context<'_>, entry: &MountEntry) -> Option<Mount> {
    let here = (entry.mark, entry.broken.as_slice());
    let to = context.required(here, "to", entry.to.as_ref(), path_below_root);
    let source = context.required(here, "from", entry.from.as_ref(), mount_source);
    if let (Some(MountSource::Host(path)), Some(from)) = (&source, &entry.from) {
        context.claim(from.mark, Claim::HostMount { path: path.clone() });
    }
    Some(Mount { to: to?, source: source? })
}

fn mount_source(text: &str) -> Rule<MountSource> {
    match text {
        "tmp" => Ok(MountSource::Tmp),
        "cache" => Ok(MountSource::Cache),
        path if path.starts_with('/') => absolute_path(path).map(MountSource::Host),
        _ => Err("must be `tmp`, `cache` or an absolute path of the host".to_owned()),
    }
}
