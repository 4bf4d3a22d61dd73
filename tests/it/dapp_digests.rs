//! dapp's own digests, as an oracle: what dapp's documentation prints for its dappfiles comes out of what our reader makes of
//! the same dappfiles. stager's digests are its own; that the inputs are the same ones is what this shows.

use std::sync::Arc;

use stager::config::{GitValues, GoSettings, LoadRequest, ProjectHome, load};
use stager::source::MemoryFiles;
use stages::spec::{Command, Content, ImageSpec};

use crate::env::sha256;

/// The version of dapp's cache that the documentation was made with.
const CACHE_VERSION: &str = "31";
/// Not in development mode.
const MODE: &str = "0";
/// The mounts of a dimg without any, as Ruby prints them.
const NO_MOUNTS: &str = "{:tmp_dir=>[], :build_dir=>[]}";
/// The digest that the documentation prints for a `g_a_archive`: its inputs are those of a repository that nobody has.
const ARCHIVE: &str = "d1aa6029faae81733618867c217c9e0e9d70e56ab1fc2554e790d9b14f16b96c";

const PACKAGES: &str = "dimg: ~
from: ubuntu:16.04
shell:
  beforeInstall:
  - apt-get update
  - apt-get install -y curl --quiet
  install:
  - apt-get install -y non-existing
";

const GIT: &str = "dimg: ~
from: ubuntu:16.04
git:
- add: /
  to: /app
shell:
  install:
  - cp /app/hello /hello
";

/// Hexadecimal SHA-256 of parts with `:::` between them.
fn of_parts<P: AsRef<str>>(parts: &[P]) -> String {
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    sha256(parts.join(":::").as_bytes())
}

/// The digest of a stage on the one before it.
fn stage(previous: Option<&str>, inputs: &[&str]) -> String {
    let parts: Vec<&str> = previous.into_iter().chain([CACHE_VERSION, MODE]).chain(inputs.iter().copied()).collect();
    of_parts(&parts)
}

/// The checksum of the commands of a user stage.
fn instructions(image: &ImageSpec, slot: &str) -> String {
    let place = image.conveyor.iter().find(|place| place.slot.name() == slot).expect("the stage is there");
    let Content::Step(step) = &place.content else { panic!("{slot} is no step") };
    let Command::Script(commands) = &step.command else { panic!("{slot} has no commands") };
    let mut parts = commands.clone();
    let versions: Vec<&str> = ["stageCacheVersion", "cacheVersion"]
        .iter()
        .filter_map(|name| step.cache_versions.get(*name).map(String::as_str))
        .collect();
    if !versions.is_empty() {
        parts.push(of_parts(&versions));
    }
    of_parts(&parts)
}

fn image(dappfile: &str) -> ImageSpec {
    let files = Arc::new(MemoryFiles::new().file("dappfile.yml", dappfile));
    let git = GitValues { commit: None, branch: None, tag: None };
    let (go, home) = (GoSettings::default(), ProjectHome::default());
    let loaded = load(&LoadRequest { files, config_path: None, dialect: None, git, go, home }).unwrap();
    loaded.project.images.into_iter().next().unwrap()
}

fn from(dappfile: &str) -> String {
    let base = dappfile.lines().find_map(|line| line.strip_prefix("from: ")).unwrap();
    stage(None, &[base, NO_MOUNTS])
}

#[test]
fn digests_are_those_that_dapp_prints() {
    let packages = image(PACKAGES);
    let from = from(PACKAGES);
    let before_install = instructions(&packages, "before_install");
    // dapp takes the checksum of this stage in twice.
    let before_install = stage(Some(&from), &[&before_install, &before_install]);
    let install = stage(Some(&before_install), &[&instructions(&packages, "install")]);
    let git = instructions(&image(GIT), "install");
    let patch = stage(Some(ARCHIVE), &[&git]);
    let install_of_git = stage(Some(&patch), &[&git]);
    let after_setup = stage(Some(ARCHIVE), &["0"]);
    let published = [
        (from, "41772c141b158349804ad27b354247df8984ead077a5dd601f3940536ebe9a11"),
        (before_install, "8f8307adb4d2434822cdbb44950868b1a312d1a0e536ae54debff9640f371645"),
        (install, "1c0aca95f86933173709388f4f75cdc50e210a861d3e85193f14556bf4a798f8"),
        (patch, "3a4b24a524f72e259bc8e5d6335ca7aaa4504d08da9d63d31c42df92331fd24d"),
        (install_of_git, "003e8da0e54baddc3ebc5e499fdd29d1af4dbd88626a9606d9dc32df725b433e"),
        (after_setup, "336636cedd354d7903d71d242b4a8c40dd0bf81728b0e189deee26cd1d59ec6b"),
    ];
    for (found, expected) in published {
        assert_eq!(found, expected);
    }
}

#[test]
fn cache_versions_are_one_part_behind_the_commands() {
    let with = image("dimg: a\nfrom: a\nshell: {install: x, cacheVersion: 1, installCacheVersion: 2}\n");
    assert_eq!(instructions(&with, "install"), of_parts(&["x".to_owned(), of_parts(&["2", "1"])]));
    assert_eq!(instructions(&with, "setup"), of_parts(&[of_parts(&["1"])]), "a cache version alone makes a stage");
}
