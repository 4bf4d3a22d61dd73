//! Stage storages behind a bad network: what a build survives, what it says when it can't, and that the next one goes on
//! from there. Each case has a repository of its own, and a [`Proxy`] before the registry that breaks things.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::env::{Canned, Fault, Output, Proxy, Registry, Report, Rule, TestEnv, sha256};

/// All methods of the protocol.
const ANY: &str = "HEAD GET POST PATCH PUT";

/// How long any build here may take: a client has noticed silence by then (30 s), and given up what has no end.
const SOON: Duration = Duration::from_secs(55);

/// A project with a step, to be built into a repository behind a proxy.
struct Case<'a> {
    registry: &'a Registry,
    env: TestEnv,
    proxy: Proxy,
    name: String,
}

impl<'a> Case<'a> {
    fn new(registry: &'a Registry, rules: &[Rule]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let env = TestEnv::new();
        env.project().busybox().file("src/a", "a\n").config(
            "image: app
from: rootfs:base.tar
git: [{add: /src, to: /code}]
build: {steps: [{name: make, command: cat /code/* /proc/sys/kernel/random/uuid > /made, files: [src/**]}]}
publish: {tags: [latest]}
",
        );
        env.project().commit("start");
        let name = format!("case-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { registry, env, proxy: Proxy::start(registry, rules.iter().copied()), name }
    }
}

/// Whether a tag is a digest.
fn is_stage(tag: &str) -> bool {
    tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a tag is of a note: for cleanups, or for other machines.
fn is_note(tag: &str) -> bool {
    ["commit-", "lease-", "key-"].into_iter().any(|kind| tag.starts_with(kind))
}

/// The blob of the base.
fn base_of(case: &Case<'_>) -> String {
    let tags = case.registry.tags(&case.name);
    let manifest =
        case.registry.content(&case.registry.tagged(&case.name, tags.iter().find(|tag| is_stage(tag)).unwrap()));
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned()
}

/// Goes through a table, several cases at once as they mostly wait; fails with the names of those that fail.
fn each<T: Sync>(cases: &[(&str, T)], check: impl Fn(&T) + Sync) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, case)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if std::panic::catch_unwind(AssertUnwindSafe(|| check(case))).is_err() {
                        failed.lock().unwrap().push(*name);
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner().unwrap(), [""; 0]);
}

impl Case<'_> {
    /// Builds on a machine of that name, which has a store of its own.
    fn build(&self, machine: &str) -> (Output, Option<Report>) {
        let env = &self.env;
        let report = env.out(&format!("{}-{machine}.json", self.name));
        let repo = format!("{}/{}", self.proxy.address(), self.name);
        let store = env.root().join(format!("{}-{machine}", self.name));
        let arguments = ["build", "--repo", &repo, "--report", report.to_str().unwrap()];
        let output = env.command(arguments).env("STAGER_HOME", store.to_str().unwrap()).within(SOON).run();
        let report = (output.code == 0).then(|| Report::read(&report));
        (output, report)
    }

    fn builds(&self, machine: &str) -> (Output, Report) {
        let (output, report) = self.build(machine);
        let output = output.succeeds();
        (output, report.expect("a build that succeeds has a report"))
    }

    /// The repository has one image of each stage, all that it takes, and nothing else; another machine finds it.
    #[track_caller]
    fn is_published(&self, report: &Report) {
        let (registry, image) = (self.registry, report.image("app"));
        let mut tags = vec!["latest".to_owned()];
        tags.extend(image.stages.iter().flat_map(|stage| [stage.digest.clone(), format!("{}.record", stage.digest)]));
        tags.sort();
        let found = registry.tags(&self.name);
        assert_eq!(found.into_iter().filter(|tag| !is_note(tag)).collect::<Vec<_>>(), tags);
        let manifest = registry.tagged(&self.name, &image.digest);
        assert_eq!(manifest, registry.tagged(&self.name, "latest"));
        assert_eq!(image.manifest.as_deref(), Some(format!("sha256:{manifest}").as_str()));
        let mut blobs = self.named_blobs();
        blobs.insert(sha256(b"{}"));
        assert_eq!(
            registry.blobs(&self.name),
            blobs.into_iter().collect::<Vec<_>>(),
            "what manifests name, and a claim's"
        );
        self.proxy.rules([]);
        let (_, other) = self.builds("other");
        assert_eq!(other.built(), [""; 0], "all is there");
        assert_eq!(other.manifests(), report.manifests());
    }

    /// The blobs that the manifests of all tags name.
    fn named_blobs(&self) -> BTreeSet<String> {
        let registry = self.registry;
        let mut blobs = BTreeSet::new();
        for tag in registry.tags(&self.name) {
            let manifest = registry.content(&registry.tagged(&self.name, &tag));
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
            let layers = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
            let digests = layers.map(|blob| blob["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned());
            blobs.extend(digests);
        }
        blobs
    }

    /// Nothing is half there: a tag of a stage has its record, a tag for people its stage, and each of them its blobs.
    #[track_caller]
    fn is_consistent(&self) {
        let registry = self.registry;
        let tags = registry.tags(&self.name);
        for tag in tags.iter().filter(|tag| is_stage(tag)) {
            assert!(tags.contains(&format!("{tag}.record")), "{tag} without a record: {tags:?}");
        }
        let blobs = registry.blobs(&self.name);
        let lacking: Vec<_> = self.named_blobs().into_iter().filter(|blob| !blobs.contains(blob)).collect();
        assert_eq!(lacking, [""; 0]);
    }
}

/// Faults that pass: the build succeeds, and nobody can tell afterwards.
#[test]
fn a_build_survives_what_passes() {
    let registry = need!(Registry::start());
    let busy = Fault::Answer(Canned::status(429).headers("Retry-After: 1\r\n"));
    let cases: &[(&str, &[Rule])] = &[
        ("resets", &[Rule::on(ANY, "", Fault::Reset).times(3)]),
        (
            "a reset of each kind",
            &[
                Rule::on("POST", "/uploads/", Fault::Reset).times(1),
                Rule::on("PUT", "/uploads/", Fault::Reset).times(1),
                Rule::on("PUT", "/manifests/", Fault::Reset).times(1),
                Rule::on("HEAD", "/blobs/", Fault::Reset).times(1),
            ],
        ),
        ("cut uploads", &[Rule::on("PUT", "/uploads/", Fault::CutRequest(200)).times(2)]),
        ("cut uploads, buffered", &[Rule::on("PUT", "/uploads/", Fault::CutBuffered(200)).times(2)]),
        ("cut manifests", &[Rule::on("PUT", "/manifests/", Fault::CutRequest(40)).times(2)]),
        ("cut answers", &[Rule::on("GET", "/manifests/", Fault::CutAnswer(20)).times(2)]),
        ("a token that ends mid-push", &[Rule::on(ANY, "", Fault::Token(12))]),
        ("429", &[Rule::on("POST", "", busy).times(1), Rule::on("PUT", "/manifests/", busy).times(1)]),
        ("503", &[Rule::on(ANY, "", Fault::Answer(Canned::status(503))).times(4)]),
        (
            "504 after all",
            &[
                Rule::on("POST", "/uploads/", Fault::AnswerAfter(Canned::status(504))).times(1),
                Rule::on("PUT", "/uploads/", Fault::AnswerAfter(Canned::status(504))).times(2),
                Rule::on("PUT", "/manifests/", Fault::AnswerAfter(Canned::status(504))).times(3),
            ],
        ),
        ("pages of a load balancer", &[Rule::on(ANY, "", Fault::Answer(Canned::html(502))).times(4)]),
        (
            "a page instead of a registry, once each",
            &[
                Rule::on("PUT", "/uploads/", Fault::Answer(Canned::html(200))).times(1),
                Rule::on("HEAD", "/blobs/", Fault::Answer(Canned::html(200))).times(1),
                Rule::on("PUT", "/manifests/", Fault::Answer(Canned::html(200))).times(2),
            ],
        ),
        ("no digests in answers", &[Rule::on(ANY, "", Fault::Without("docker-content-digest"))]),
        ("manifests that appear late", &[Rule::on("GET HEAD PUT", "/manifests/", Fault::Stale(2))]),
        (
            "manifests that appear late under their digest",
            &[Rule::on("GET HEAD", "/manifests/sha256:", Fault::Answer(Canned::status(404))).times(3)],
        ),
        ("manifests longer than announced", &[Rule::on("GET", "/manifests/", Fault::Length(-5)).times(1)]),
        ("manifests shorter than announced", &[Rule::on("GET", "/manifests/", Fault::Length(5)).times(1)]),
        ("wrong manifests", &[Rule::on("GET", "/manifests/", Fault::Corrupt).times(1)]),
        (
            "uploads that move",
            &[
                Rule::on("PUT", "/uploads/", Fault::Redirect(307)).times(1),
                Rule::on("PUT", "/uploads/", Fault::Redirect(308)).times(1),
            ],
        ),
    ];
    each(cases, |rules| {
        let case = Case::new(&registry, rules);
        let (_, report) = case.builds("one");
        assert!(report.built().contains(&"app/build/make".to_owned()));
        let tokens = case.proxy.tokens();
        assert!(tokens == 0 || tokens > 1, "a token has ended");
        assert!(!case.proxy.passed().iter().any(|passed| passed.path.contains("tags/list")), "no list is needed");
        case.is_published(&report);
    });
}

/// Faults that stay: an error that says what it is, in time, with nothing half there; then the network is mended, and the
/// next build finishes the work. What had run does not run again.
#[test]
fn a_build_that_fails_leaves_a_start_for_the_next() {
    let registry = need!(Registry::start());
    let always = |methods, path, canned| Rule::on(methods, path, Fault::Answer(canned));
    let denied = Canned::json(403, r#"{"errors":[{"code":"DENIED","message":"read only"}]}"#);
    let around = Canned::status(307).headers("Location: /v2/around\r\n");
    // What breaks, what is said, and whether the step has run by then.
    let cases: &[(&str, (Rule, &str, bool))] = &[
        ("no writing", (always("POST PATCH PUT", "", denied), "denied", false)),
        ("no tagging", (always("PUT", "/manifests/", denied), "denied", false)),
        ("no tag for people", (always("PUT", "/manifests/latest", denied), "denied", true)),
        ("503", (always("PUT", "/manifests/latest", Canned::status(503)), "answered 503", true)),
        ("a page instead of a registry", (always(ANY, "", Canned::html(200)), "invalid manifest", false)),
        ("a page with 502", (always(ANY, "", Canned::html(502)), "answered 502", false)),
        ("a page for each manifest", (always("PUT", "/manifests/", Canned::html(200)), "is it a registry?", false)),
        ("a page for the last tag", (always("PUT", "/manifests/latest", Canned::html(200)), "is it a registry?", true)),
        ("a long wait", (always("PUT", "", Canned::status(429).headers("Retry-After: 3600\r\n")), "too many", false)),
        ("a circle", (always("GET HEAD POST", "", around), "redirects", false)),
        ("too large", (always("PUT", "/uploads/", Canned::status(413)), "too large", false)),
        ("no answer", (Rule::on("PUT", "/uploads/", Fault::Reset), "was cut", false)),
    ];
    each(cases, |(rule, said, ran)| {
        let case = Case::new(&registry, &[*rule]);
        let (output, _) = case.build("one");
        let output = output.ends_with(4).says(&[said]);
        assert_eq!(output.stderr.contains("build/make"), *ran, "{}", output.stderr);
        case.is_consistent();
        case.proxy.rules([]);
        let (_, report) = case.builds("one");
        assert_eq!(report.built().contains(&"app/build/make".to_owned()), !ran);
        case.is_published(&report);
    });
}

/// Where nothing can be read that was written, no build can tell whether it is alone: an error, after some seconds. (The claim
/// that it leaves is void after its life, as any is whose owner is gone.)
#[test]
fn a_registry_that_shows_nothing_is_an_error() {
    let registry = need!(Registry::start());
    let cases: &[(&str, Rule)] = &[
        ("never there", Rule::on("GET HEAD PUT", "/manifests/", Fault::Stale(1000))),
        ("always wrong", Rule::on("GET", "/manifests/", Fault::Corrupt)),
    ];
    each(cases, |rule| {
        let case = Case::new(&registry, &[*rule]);
        let (output, _) = case.build("one");
        let output = output.ends_with(4).says(&["does not show the claim"]);
        assert!(!output.stderr.contains("build/make"), "{}", output.stderr);
        case.is_consistent();
    });
}

/// Faults of downloads: a machine that needs the layers under a step gets them, or makes them again.
#[test]
fn a_base_comes_through_or_is_made_again() {
    let registry = need!(Registry::start());
    let blobs = |fault| Rule::on("GET", "/blobs/sha256:", fault);
    // What breaks, and whether the base is made again.
    let cases: &[(&str, (Rule, bool))] = &[
        ("silence", (blobs(Fault::StallAnswer(300_000)).times(1), false)),
        ("cuts", (blobs(Fault::CutAnswer(300_000)).times(3), false)),
        ("resets", (blobs(Fault::Reset).times(3), false)),
        ("503", (blobs(Fault::Answer(Canned::status(503))).times(2), false)),
        ("another place", (blobs(Fault::Redirect(307)), false)),
        ("wrong bytes once", (blobs(Fault::Corrupt).times(1), true)),
        ("wrong bytes always", (blobs(Fault::Corrupt), true)),
        ("a blob that was cleaned away", (blobs(Fault::Answer(Canned::status(404))), true)),
        ("a page instead", (blobs(Fault::Answer(Canned::html(200))), true)),
        ("more than announced", (blobs(Fault::Length(-5)), true)),
        ("less than announced", (blobs(Fault::Length(5)), true)),
    ];
    each(cases, |(rule, again)| {
        let case = Case::new(&registry, &[]);
        case.builds("one");
        case.env.project().file("src/b", "b\n").commit("more");
        case.proxy.rules([*rule, Rule::on(ANY, "", Fault::Token(100))]);
        let (output, report) = case.builds("two");
        assert_eq!(output.stderr.contains("is made again"), *again, "{}", output.stderr);
        assert!(report.built().contains(&"app/build/make".to_owned()));
        let passed = case.proxy.passed();
        let elsewhere: Vec<_> = passed.iter().filter(|passed| passed.elsewhere).collect();
        assert!(elsewhere.iter().all(|passed| !passed.authorized), "credentials stay with the registry");
        assert_eq!(elsewhere.is_empty(), !matches!(rule.fault(), Fault::Redirect(_)));
        if !again {
            let base: u64 = passed
                .iter()
                .filter(|passed| passed.path.contains("/blobs/sha256:"))
                .map(|passed| passed.received)
                .sum();
            let whole = registry.content(&base_of(&case)).len() as u64;
            assert!(base < whole + 200_000, "a cut download goes on where it was: {base} of {whole} bytes");
        }
        case.proxy.rules([]);
        assert_eq!(case.builds("three").1.built(), [""; 0]);
        case.is_consistent();
    });
}

/// A large layer whose upload is cut: one piece is sent again at most, whether the registry has got a part of it or not.
#[test]
fn a_cut_upload_of_a_large_layer_goes_on() {
    const SIZE: u64 = 48 << 20;
    const PIECE: u64 = 16 << 20;
    let registry = need!(Registry::start());
    let mut case = Case::new(&registry, &[]);
    let noise = format!("head -c {SIZE} /dev/urandom > /made");
    case.env.project().replace("stager.yaml", "cat /code/* /proc/sys/kernel/random/uuid > /made", &noise);
    case.env.project().commit("large");
    assert!(case.env.build(&[]).built().contains(&"app/build/make".to_owned()));
    let mut publish = |name: &str, rule: Option<Rule>| {
        case.name = name.to_owned();
        case.proxy = Proxy::start(&registry, rule);
        let report = case.env.build(&["--repo", &format!("{}/{name}", case.proxy.address())]);
        assert_eq!(report.built(), [""; 0]);
        let passed = case.proxy.passed();
        case.is_consistent();
        (passed.iter().map(|passed| passed.sent).sum::<u64>(), passed, case.proxy.has_cut())
    };
    let (whole, ..) = publish("whole", None);
    for (percent, buffered) in [(10, true), (50, true), (90, true), (10, false), (50, false), (90, false)] {
        let bytes = SIZE * percent / 100;
        let cut = Rule::on("PATCH PUT", "/uploads/", Fault::CutAt { bytes, buffered });
        let (sent, _, is_cut) = publish(&format!("cut-{percent}-{buffered}"), Some(cut));
        let again = sent.saturating_sub(whole);
        assert!(is_cut && again > 0, "{percent} %, {buffered}: nothing was cut");
        assert!(again <= PIECE + 100_000, "{percent} %, {buffered}: {again} bytes again");
    }
    let (sent, passed, _) =
        publish("413", Some(Rule::on("PATCH", "/uploads/", Fault::Answer(Canned::status(413))).times(1)));
    let largest = passed.iter().filter(|passed| passed.status == 202).map(|passed| passed.sent).max();
    assert!(sent <= whole + 100_000 && largest <= Some(PIECE / 2), "smaller pieces: {largest:?}");
}
