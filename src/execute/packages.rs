//! Packages, by the package manager that the base has.
//!
//! The same list gives the same layer as far as the manager lets it: lists, caches and logs, which differ from run to run, are
//! not left behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stages::spec::{Command, FileView, Mount, Network, PackageManager, Packages, Step};

use super::Error;
use super::step::{Run, run, shell};
use super::worker::{Content, Task, Worker};
use crate::layer::MergedTree;

/// Where a manager's program may be, and the manager it stands for.
const PROGRAMS: &[(&str, PackageManager)] = &[
    ("/usr/bin/apt-get", PackageManager::Apt),
    ("/sbin/apk", PackageManager::Apk),
    ("/usr/bin/apk", PackageManager::Apk),
    ("/usr/bin/dnf", PackageManager::Dnf),
    ("/usr/bin/tdnf", PackageManager::Dnf),
    ("/usr/bin/microdnf", PackageManager::Dnf),
];

/// Installs packages on the parent.
pub(super) fn make(
    worker: &mut Worker<'_, '_>,
    task: &Task<'_>,
    packages: &Packages,
    mounts: &[Mount],
) -> Result<Content, Error> {
    let layers: Vec<_> = task.parent()?.layers.iter().map(|used| used.layer).collect();
    let tree = worker.merged(&layers)?;
    let (program, names) = choose(task, &tree, packages)?;
    if names.is_empty() {
        return Ok(Content::of(task.parent()?));
    }
    let step = Step {
        unkeyed_env: Arc::default(),
        cache_versions: BTreeMap::new(),
        name: "packages".to_owned(),
        command: Command::Shell(String::new()),
        files: FileView::Matching(Vec::new()),
        env: BTreeMap::new(),
        network: Network::Default,
        caches: Vec::new(),
        secrets: Vec::new(),
        timeout_seconds: None,
    };
    let extra = vec![("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned())];
    run(
        worker,
        task,
        &layers,
        Run { step: &step, argv: shell(&script(program, names)), mounts, extra, script: None, scratch_at: None },
    )
}

fn choose<'p>(
    task: &Task<'_>,
    tree: &MergedTree,
    packages: &'p Packages,
) -> Result<(&'static str, &'p [String]), Error> {
    let config = |message: String| Error::Config { stage: task.id.clone(), message };
    let mut found = Vec::new();
    for (program, manager) in PROGRAMS {
        if tree.resolve(Path::new(program))?.is_some() {
            found.push((*program, *manager));
        }
    }
    match packages {
        Packages::Any(names) => {
            let (program, _) = found.first().ok_or_else(|| {
                config(
                    "the base has no package manager that stager knows (apt-get, apk, dnf, tdnf, microdnf); \
                        install the packages by `deps.run`, or take another base"
                        .to_owned(),
                )
            })?;
            Ok((program, names))
        }
        Packages::ByManager(lists) => found
            .iter()
            .find_map(|(program, manager)| Some((*program, lists.get(manager)?.as_slice())))
            .ok_or_else(|| {
                let wanted: Vec<_> = lists.keys().map(|manager| manager.program()).collect();
                let there: Vec<_> = found.iter().map(|(program, _)| *program).collect();
                config(format!(
                    "`deps.packages` has lists for {}, and the base has {}",
                    wanted.join(", "),
                    if there.is_empty() { "no package manager".to_owned() } else { there.join(", ") }
                ))
            }),
    }
}

fn script(program: &str, names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| quote(name)).collect();
    let names = names.join(" ");
    if program.ends_with("/apt-get") {
        format!(
            "apt-get update\n\
             apt-get install --yes --no-install-recommends -- {names}\n\
             apt-get clean\n\
             rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log /var/log/alternatives.log \
             /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old\n"
        )
    } else if program.ends_with("/apk") {
        format!("apk add --no-cache -- {names}\nrm -f /var/log/apk.log\n")
    } else {
        let program = program.rsplit('/').next().unwrap_or(program);
        format!(
            "{program} install -y {names}\n\
             {program} clean all\n\
             rm -rf /var/cache/dnf /var/cache/yum /var/cache/tdnf /var/log/dnf* /var/log/hawkey.log /var/log/tdnf* \
             /var/cache/ldconfig/aux-cache\n"
        )
    }
}

/// A word that the shell takes as it is.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_shell_text() {
        let script = script("/usr/bin/apt-get", &["gcc".to_owned(), "a'; rm -rf /".to_owned()]);
        assert!(script.contains(r"-- 'gcc' 'a'\''; rm -rf /'"), "{script}");
    }
}
