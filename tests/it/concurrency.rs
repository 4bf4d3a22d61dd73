//! Several builds and many images at once.

use crate::env::{Report, Status, TestEnv};

#[test]
fn two_stagers_at_once_build_each_stage_once() {
    let env = TestEnv::new();
    let image = |name: &str| {
        let step = format!("{{name: work, command: 'echo {name} >> /made; sleep 0.3'}}");
        format!("image: {name}\nfrom: rootfs:base.tar\nbuild: {{steps: [{step}]}}\n")
    };
    env.project().busybox().config(&[image("a"), image("b"), image("c")].join("---\n")).commit("start");
    let runs: Vec<_> = (0..2).map(|_| env.build_command(&[])).map(|(run, report)| (run.start(), report)).collect();
    let mut built = Vec::new();
    for (run, report) in runs {
        run.finish().succeeds();
        built.extend(Report::read(&report).built().into_iter().filter(|stage| stage.contains("/build/")));
    }
    built.sort();
    assert_eq!(built, ["a/build/work", "b/build/work", "c/build/work"]);
}

#[test]
fn many_images_share_what_they_can() {
    let env = TestEnv::new();
    env.project().busybox().config(
        "image: base
from: rootfs:base.tar
build: {steps: [{name: base, command: echo base > /base}]}
{% for n in range(30) %}
---
image: app-{{ n }}
fromImage: base
build: {steps: [{name: own, command: cat /base > /own; echo {{ n }} >> /own}]}
{% endfor %}
",
    );
    env.project().commit("start");
    let report = env.build(&["--parallel", "4"]);
    assert_eq!(report.images.len(), 31);
    assert_eq!(report.with_status(Status::Built).iter().filter(|stage| stage.contains("/build/")).count(), 31);
    assert_eq!(env.build(&[]).built(), [""; 0]);
}

#[test]
fn independent_images_are_built_at_the_same_time() {
    let env = TestEnv::new();
    // Each of the two waits for the other, through a cache directory that both see.
    let image = |name: &str, other: &str| {
        let wait = format!(
            "touch /both/{name}; n=0; until test -e /both/{other}; do n=$((n+1)); test $n -lt 300; sleep 0.1; done"
        );
        format!(
            "image: {name}\nfrom: rootfs:base.tar\nbuild: {{caches: [{{path: /both, id: both}}], steps: [{{name: wait, command: '{wait}'}}]}}\n"
        )
    };
    env.project().busybox().config(&[image("a", "b"), image("b", "a")].join("---\n")).commit("start");
    env.build(&["--parallel", "2"]);
}
