//! `ansible`: which tasks there may be.

use super::context::Context;
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::schema::{AnsibleTable, Items, Raw};
use crate::config::yaml::{Content, Entry, Node};
use crate::source::nearest;

/// The modules that werf lets tasks use.
const MODULES: &[&str] = &[
    "acl",
    "apk",
    "apt",
    "apt_key",
    "apt_repository",
    "apt_rpm",
    "archive",
    "assemble",
    "assert",
    "blockinfile",
    "bower",
    "bundler",
    "command",
    "composer",
    "copy",
    "cpanm",
    "cron",
    "debconf",
    "debug",
    "dnf",
    "dpkg_selections",
    "easy_install",
    "fail",
    "file",
    "find",
    "gem",
    "get_url",
    "getent",
    "group",
    "homebrew",
    "homebrew_cask",
    "homebrew_tap",
    "ini_file",
    "iso_extract",
    "layman",
    "lineinfile",
    "locale_gen",
    "macports",
    "maven_artifact",
    "meta",
    "npm",
    "openbsd_pkg",
    "openssl_certificate",
    "openssl_csr",
    "openssl_privatekey",
    "openssl_publickey",
    "opkg",
    "package",
    "pacman",
    "pear",
    "pip",
    "pkg5",
    "pkg5_publisher",
    "pkgin",
    "pkgng",
    "pkgutil",
    "portage",
    "portinstall",
    "pulp_repo",
    "raw",
    "redhat_subscription",
    "replace",
    "rhn_channel",
    "rhn_register",
    "rpm_key",
    "script",
    "set_fact",
    "shell",
    "slackpkg",
    "slurp",
    "sorcery",
    "stat",
    "svr4pkg",
    "swdepot",
    "swupd",
    "tempfile",
    "timezone",
    "unarchive",
    "uri",
    "urpmi",
    "user",
    "wait_for",
    "xattr",
    "xbps",
    "yarn",
    "yum",
    "yum_repository",
    "zypper",
    "zypper_repository",
];

/// The keys that hold further tasks.
const BLOCKS: [&str; 3] = ["block", "rescue", "always"];

/// Keys of a task that name no module.
const KEYWORDS: &[&str] = &[
    "name",
    "when",
    "tags",
    "register",
    "become",
    "become_user",
    "environment",
    "vars",
    "args",
    "with_items",
    "loop",
    "ignore_errors",
    "changed_when",
    "failed_when",
    "no_log",
    "notify",
    "retries",
    "until",
    "delay",
    "loop_control",
];

/// Checks every task of a section.
pub(in crate::config) fn check(context: &mut Context<'_>, table: &AnsibleTable) {
    check_stages(
        context,
        &[
            ("beforeInstall", &table.before_install),
            ("install", &table.install),
            ("beforeSetup", &table.before_setup),
            ("setup", &table.setup),
        ],
    );
}

/// Checks every task of the stages of a section.
pub(in crate::config) fn check_stages(context: &mut Context<'_>, stages: &[(&str, &Option<At<Items<Raw>>>)]) {
    for (key, tasks) in stages {
        for (index, item) in tasks.iter().flat_map(|tasks| &tasks.value.0).enumerate() {
            context.within(&["ansible", key], Some(index), |context| task(context, &item.value.0));
        }
    }
}

fn task(context: &mut Context<'_>, node: &Node) {
    let Content::Mapping(entries) = &node.content else {
        context.reader.wrong_type(node, "a task, which is a map");
        return;
    };
    let is_set = |entry: &&Entry| !entry.value.is_null();
    let blocks: Vec<&Entry> = entries.iter().filter(is_set).filter(|e| BLOCKS.contains(&e.key.as_str())).collect();
    for block in &blocks {
        tasks(context, block);
    }
    if blocks.is_empty() {
        let modules: Vec<&Entry> =
            entries.iter().filter(is_set).filter(|entry| MODULES.contains(&entry.key.as_str())).collect();
        one_module(context, node, entries, &modules);
    }
}

fn tasks(context: &mut Context<'_>, block: &Entry) {
    let Content::Sequence(items) = &block.value.content else {
        context.reader.key(&block.key, |reader| reader.wrong_type(&block.value, "a list of tasks"));
        return;
    };
    for (index, item) in items.iter().enumerate() {
        context.within(&[&block.key], Some(index), |context| task(context, item));
    }
}

fn one_module(context: &mut Context<'_>, node: &Node, entries: &[Entry], modules: &[&Entry]) {
    let path = context.reader.path();
    match modules {
        [_] => {}
        [first, second, ..] => {
            let related = context.reader.place(first.mark);
            let message = format!("the task `{path}` uses two modules, `{}` and `{}`", first.key, second.key);
            let problem = context.error(second.mark, code::VALUE, message);
            *problem = problem.clone().related(related, "the first one").help("make two tasks of it");
        }
        [] => {
            let other = entries.iter().find(|entry| !KEYWORDS.contains(&entry.key.as_str()));
            let mark = other.map_or(node.mark, |entry| entry.mark);
            let problem =
                context.error(mark, code::VALUE, format!("the task `{path}` uses no module that is supported"));
            problem.help = Some(match other.and_then(|entry| nearest(&entry.key, MODULES.iter().copied())) {
                Some(module) => format!("did you mean `{module}`?"),
                None => format!("the supported modules are {}", MODULES.join(", ")),
            });
        }
    }
}
