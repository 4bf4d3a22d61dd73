//! Which stages see which value: every field of a config, changed alone, changes the stages that see it and those after them,
//! and no other.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use stages::conveyor::{Facts, Selection, lay_out};
use stages::kind::{Slot, StageKind};
use stages::plan::{Plan, PlannedImage, StageTask};
use stages::spec::ImportPlaces::{Exact, Followed};
use stages::spec::*;
use stages::{BlobId, Checksum, ObjectId, Platform, StageDigest};

/// A commit in memory: the content of a mapping is its text, narrowed by the patterns that select from it.
struct Commit {
    version: &'static str,
    latest: u8,
    /// A change that only a step that declares it sees.
    files: BTreeMap<&'static str, &'static str>,
}

impl Default for Commit {
    fn default() -> Self {
        Self { version: "1", latest: 1, files: BTreeMap::from([("Makefile", "1"), ("src", "1"), ("docs", "1")]) }
    }
}

impl Facts for Commit {
    type Error = Infallible;

    fn tree(&self, _: &GitMapping) -> Result<ObjectId, Infallible> {
        Ok("a".repeat(40).parse().unwrap())
    }

    fn checksum(&self, mapping: &GitMapping, selection: Selection<'_>) -> Result<Checksum, Infallible> {
        let files = match selection {
            Selection::All => None,
            Selection::FromRoot(files) | Selection::FromAdd(files) => Some(files),
        };
        let mut text =
            format!("{:?} {} {:?} {:?}", mapping.source, mapping.add, mapping.include_paths, mapping.exclude_paths);
        for (name, content) in &self.files {
            if files.is_none_or(|files| files.iter().any(|file| file == name)) {
                text.extend([*name, "=", *content, ";"]);
            }
        }
        Ok(blake3::hash(text.as_bytes()).into())
    }

    fn base_file(&self, path: &str) -> Result<Checksum, Infallible> {
        Ok(blake3::hash(format!("{path} {}", self.version).as_bytes()).into())
    }

    fn base_digest(&self, _: &str, _: &Platform) -> Result<BlobId, Infallible> {
        Ok(BlobId::from_bytes([self.latest; 32]))
    }
}

fn step(name: &str, command: &str) -> Step {
    Step {
        name: name.to_owned(),
        command: Command::Shell(command.to_owned()),
        files: FileView::All,
        env: BTreeMap::new(),
        unkeyed_env: Arc::default(),
        cache_versions: BTreeMap::new(),
        network: Network::Default,
        caches: Vec::new(),
        secrets: Vec::new(),
        timeout_seconds: None,
    }
}

fn workdir() -> Post {
    Post { workdir: Some("/".to_owned()), ..Post::default() }
}

fn place(kind: StageKind, step: Step) -> Place {
    Place::new(kind, format!("{}/{}", kind.name(), step.name), Content::Step(Arc::new(step)))
}

/// What is in a slot of the sample.
fn content<'a>(spec: &'a mut ImageSpec, slot: &str) -> &'a mut Content {
    &mut spec.conveyor.iter_mut().find(|place| place.slot.name() == slot).unwrap().content
}

fn step_of<'a>(spec: &'a mut ImageSpec, slot: &str) -> &'a mut Step {
    let Content::Step(step) = content(spec, slot) else { panic!("{slot} is no step") };
    Arc::make_mut(step)
}

fn post_of(spec: &mut ImageSpec) -> &mut Post {
    let Content::Post(post) = content(spec, "image-post") else { panic!("no post") };
    post
}

fn image(name: &str) -> ImageSpec {
    ImageSpec {
        name: name.parse().unwrap(),
        artifact: false,
        is_final: true,
        platforms: Vec::new(),
        cache_version: None,
        base: Base::Registry { reference: "docker.io/library/debian:bookworm".to_owned(), latest: false },
        from_cache_version: None,
        git: vec![GitMapping {
            source: GitSource::Local,
            add: "/".to_owned(),
            to: "/src".to_owned(),
            include_paths: Vec::new(),
            exclude_paths: Vec::new(),
            owner: Owner::default(),
            directory_mode: GitMapping::DIRECTORY_MODE,
            required: false,
        }],
        conveyor: vec![
            Place::new(StageKind::Deps, "deps/packages", Content::Packages(Packages::Any(vec!["gcc".to_owned()]))),
            Place::new(StageKind::Deps, "deps/git", Content::Git),
            place(StageKind::Deps, step("1", "make deps")),
            place(StageKind::Build, step("compile", "make")),
            place(StageKind::Build, step("install", "make install")),
            Place::new(StageKind::ImagePost, "image-post", Content::Post(Box::new(workdir()))),
        ],
        mounts: Vec::new(),
        tests: Vec::new(),
        publish_tags: Vec::new(),
    }
}

fn project(images: Vec<ImageSpec>) -> Project {
    Project {
        name: "shop".parse().unwrap(),
        platforms: vec!["linux/amd64".parse().unwrap()],
        cache_version: String::new(),
        repository: None,
        images,
    }
}

fn plan(project: &Project, commit: &Commit) -> Plan {
    lay_out(project, "b".repeat(40).parse().unwrap(), commit).unwrap()
}

fn digests(image: &PlannedImage) -> BTreeMap<String, StageDigest> {
    image.stages.iter().map(|stage| (stage.slot.name().to_owned(), stage.digest)).collect()
}

/// The slots whose digests differ between the sample and a changed sample.
fn changed(change: impl Fn(&mut ImageSpec)) -> Vec<String> {
    let before = plan(&project(vec![image("app")]), &Commit::default());
    let mut spec = image("app");
    change(&mut spec);
    differing(&before, &plan(&project(vec![spec]), &Commit::default()))
}

fn differing(before: &Plan, after: &Plan) -> Vec<String> {
    let (before, after) = (digests(&before.images[0]), digests(&after.images[0]));
    after.into_iter().filter(|(slot, digest)| before.get(slot) != Some(digest)).map(|(slot, _)| slot).collect()
}

const ALL: &[&str] = &["build/compile", "build/install", "deps/1", "deps/git", "deps/packages", "from", "image-post"];

#[test]
fn a_change_reaches_the_stages_that_see_it_and_what_follows() {
    type Change = fn(&mut ImageSpec);
    let cases: &[(&str, Change, &[&str])] = &[
        ("from", |spec| spec.base = Base::Scratch, ALL),
        ("fromCacheVersion", |spec| spec.from_cache_version = Some(String::new()), ALL),
        (
            "packages",
            |spec| *content(spec, "deps/packages") = Content::Packages(Packages::Any(vec!["g++".to_owned()])),
            &["build/compile", "build/install", "deps/1", "deps/git", "deps/packages", "image-post"],
        ),
        (
            "git.to",
            |spec| spec.git[0].to = "/other".to_owned(),
            &["build/compile", "build/install", "deps/1", "deps/git", "image-post"],
        ),
        (
            "git.owner",
            |spec| spec.git[0].owner.user = Some("1000".to_owned()),
            &["build/compile", "build/install", "deps/1", "deps/git", "image-post"],
        ),
        (
            "deps.run",
            |spec| step_of(spec, "deps/1").command = Command::Shell("true".to_owned()),
            &["build/compile", "build/install", "deps/1", "image-post"],
        ),
        (
            "command",
            |spec| step_of(spec, "build/compile").command = Command::Shell("make all".to_owned()),
            &["build/compile", "build/install", "image-post"],
        ),
        (
            "argv instead of the same script",
            |spec| step_of(spec, "build/install").command = Command::Exec(vec!["make install".to_owned()]),
            &["build/install", "image-post"],
        ),
        (
            "step env",
            |spec| _ = step_of(spec, "build/install").env.insert("A".to_owned(), "1".to_owned()),
            &["build/install", "image-post"],
        ),
        (
            "step network",
            |spec| step_of(spec, "build/install").network = Network::None,
            &["build/install", "image-post"],
        ),
        (
            "step files",
            |spec| step_of(spec, "build/install").files = FileView::Matching(vec!["src".to_owned()]),
            &["build/install", "image-post"],
        ),
        (
            "cache",
            |spec| {
                step_of(spec, "build/install").caches =
                    vec![CacheMount { path: "/c".to_owned(), id: "c".to_owned(), sharing: Sharing::Shared }];
            },
            &["build/install", "image-post"],
        ),
        (
            "mounts reach all steps",
            |spec| spec.mounts = vec![Mount { to: "/m".to_owned(), source: MountSource::Tmp }],
            &["build/compile", "build/install", "deps/1", "deps/git", "deps/packages", "image-post"],
        ),
        ("post.labels", |spec| _ = post_of(spec).labels.insert("a".to_owned(), "b".to_owned()), &["image-post"]),
        ("post.cmd cleared", |spec| post_of(spec).cmd = Some(Vec::new()), &["image-post"]),
        ("post.healthcheck", |spec| post_of(spec).healthcheck = Some(Healthcheck::default()), &["image-post"]),
        ("timeout", |spec| step_of(spec, "build/compile").timeout_seconds = Some(1), &[]),
        ("tags", |spec| spec.publish_tags = vec!["v1".to_owned()], &[]),
        ("tests", |spec| spec.tests = vec![ImageTest::default()], &[]),
        ("the image's own name", |spec| spec.name = "other".parse().unwrap(), &[]),
    ];
    for (what, change, expected) in cases {
        assert_eq!(changed(change), *expected, "{what}");
    }
}

#[test]
fn secrets_are_keyed_by_their_ids_only() {
    let with = |source: SecretSource| {
        let mut spec = image("app");
        step_of(&mut spec, "build/compile").secrets = vec![Secret { id: "npmrc".to_owned(), source }];
        plan(&project(vec![spec]), &Commit::default())
    };
    let one = with(SecretSource::Env("A".to_owned()));
    assert!(differing(&one, &with(SecretSource::File("/b".to_owned()))).is_empty());
    assert!(!differing(&plan(&project(vec![image("app")]), &Commit::default()), &one).is_empty());
}

#[test]
fn host_paths_of_mounts_are_not_keyed() {
    let with = |path: &str| {
        let mut spec = image("app");
        spec.mounts = vec![Mount { to: "/m".to_owned(), source: MountSource::Host(path.to_owned()) }];
        plan(&project(vec![spec]), &Commit::default())
    };
    assert!(differing(&with("/a"), &with("/b")).is_empty());
}

#[test]
fn a_step_is_keyed_by_the_files_it_declares() {
    let mut spec = image("app");
    step_of(&mut spec, "deps/1").files = FileView::Matching(vec!["Makefile".to_owned()]);
    step_of(&mut spec, "build/compile").files = FileView::Matching(vec!["src".to_owned()]);
    step_of(&mut spec, "build/install").files = FileView::Matching(Vec::new());
    let project = project(vec![spec]);
    let change = |name: &'static str| {
        let mut commit = Commit::default();
        commit.files.insert(name, "2");
        differing(&plan(&project, &Commit::default()), &plan(&project, &commit))
    };
    assert_eq!(change("docs"), ["deps/git", "image-post"]);
    assert_eq!(change("src"), ["build/compile", "build/install", "deps/git", "image-post"]);
    assert_eq!(change("Makefile"), ["build/compile", "build/install", "deps/1", "deps/git", "image-post"]);
}

#[test]
fn from_latest_adds_the_registry_digest() {
    let mut spec = image("app");
    spec.base = Base::Registry { reference: "docker.io/library/debian:bookworm".to_owned(), latest: true };
    let project = project(vec![spec]);
    let other = Commit { latest: 2, ..Commit::default() };
    assert_eq!(differing(&plan(&project, &Commit::default()), &plan(&project, &other)), ALL);
}

#[test]
fn a_base_file_is_keyed_by_its_content() {
    let mut spec = image("app");
    spec.base = Base::File { format: BaseFormat::Rootfs, path: "base.tar".to_owned() };
    let project = project(vec![spec]);
    let other = Commit { version: "2", ..Commit::default() };
    assert_eq!(differing(&plan(&project, &Commit::default()), &plan(&project, &other)), ALL);
}

#[test]
fn images_stand_on_each_other_and_come_in_order() {
    let mut consumer = image("a-consumer");
    consumer.base = Base::Artifact { name: "toolchain".parse().unwrap() };
    let import = Import {
        source: ImportSource::Image("assets".parse().unwrap()),
        stage: None,
        add: "/dist".to_owned(),
        to: "/srv".to_owned(),
        include_paths: Vec::new(),
        exclude_paths: Vec::new(),
        owner: Owner::default(),
        required: true,
        places: ImportPlaces::Exact,
    };
    let imports = Imports { files: vec![import], variables: Vec::new() };
    let at = consumer.conveyor.iter().position(|place| place.slot.name() == "build/compile").unwrap();
    let slot = "deps/imports-before-build";
    consumer.conveyor.insert(at, Place::new(StageKind::Deps, slot, Content::Imports(imports)));
    let mut toolchain = image("toolchain");
    toolchain.artifact = true;
    let before = project(vec![consumer, toolchain, image("assets")]);
    let planned = plan(&before, &Commit::default());
    let names: Vec<_> = planned.images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["toolchain", "assets", "a-consumer"]);

    let mut after = before.clone();
    post_of(&mut after.images[2]).workdir = Some("/other".to_owned());
    let changed: Vec<_> = digests(&plan(&after, &Commit::default()).images[2])
        .into_iter()
        .filter(|(slot, digest)| digests(&planned.images[2]).get(slot) != Some(digest))
        .map(|(slot, _)| slot)
        .collect();
    assert_eq!(changed, ["build/compile", "build/install", "deps/imports-before-build", "image-post"]);
}

/// What an image imports from, when it names a stage of the source `assets`.
fn source_at(assets: &ImageSpec, stage: Option<&str>) -> (Plan, StageDigest) {
    let import = Import {
        source: ImportSource::Image("assets".parse().unwrap()),
        stage: stage.map(Slot::new),
        add: "/dist".to_owned(),
        to: "/srv".to_owned(),
        include_paths: Vec::new(),
        exclude_paths: Vec::new(),
        owner: Owner::default(),
        required: true,
        places: ImportPlaces::Exact,
    };
    let mut consumer = image("consumer");
    let imports = Imports { files: vec![import], variables: Vec::new() };
    consumer.conveyor.insert(0, Place::new(StageKind::Deps, "imports", Content::Imports(imports)));
    let planned = plan(&project(vec![assets.clone(), consumer]), &Commit::default());
    let source = planned.images[1].stages.iter().find_map(|stage| match &stage.task {
        StageTask::Imports { imports, .. } => imports[0].source,
        _ => None,
    });
    (planned, source.unwrap())
}

#[test]
fn an_import_may_take_from_an_image_as_it_stands_after_a_stage() {
    let assets = image("assets");
    let alone = plan(&project(vec![assets.clone()]), &Commit::default());
    let own = digests(&alone.images[0]);
    let slots = |plan: &Plan| digests(&plan.images[0]).into_keys().collect::<Vec<_>>();

    // Before git content, its own stage is what it holds.
    let (planned, source) = source_at(&assets, Some("deps/packages"));
    assert_eq!((source, slots(&planned)), (own["deps/packages"], slots(&alone)));
    // Behind it, one more stage joins both, and nothing stands on that.
    let (planned, source) = source_at(&assets, Some("build/compile"));
    let stages = digests(&planned.images[0]);
    assert!(own.iter().all(|(slot, digest)| stages[slot] == *digest), "its own stages are the same");
    assert_eq!((stages.len(), source), (own.len() + 1, stages["build/compile/image"]));
    let joined = planned.images[0].stages.iter().find(|stage| stage.digest == source).unwrap();
    assert_eq!(joined.needs(), [own["build/compile"], own["deps/git"], own["deps/packages"]]);
    // A source that lacks the stage is taken as a whole.
    for stage in [None, Some("build/none")] {
        assert_eq!(source_at(&assets, stage).1, own["image-post"]);
    }
}

#[test]
fn absent_stages_hand_their_parents_digest_on() {
    let mut bare = image("bare");
    (bare.git, bare.conveyor) = (Vec::new(), Vec::new());
    let planned = plan(&project(vec![bare]), &Commit::default());
    assert_eq!(planned.images[0].stages.len(), 1);
    assert_eq!(planned.images[0].digest(), planned.images[0].stages[0].digest);
}

/// Golden digests: they change only with `stages::digest::FORMAT_VERSION`.
#[test]
fn golden_plan() {
    let planned = plan(&project(vec![image("app")]), &Commit::default());
    let short: Vec<String> =
        planned.images[0].stages.iter().map(|stage| format!("{} {}", stage.slot, stage.digest.short())).collect();
    assert_eq!(
        short,
        [
            "from c5bac0712b3a",
            "deps/packages 7c8c55f0f70c",
            "deps/git 10d038abf508",
            "deps/1 e4f1a5368863",
            "build/compile 68f3ad8b2306",
            "build/install 89cc69310499",
            "image-post ff38df734289",
        ]
    );
}

/// As werf's user stages are: keyed by what they declare, and seeing all.
#[test]
fn a_step_keyed_by_declared_files_sees_all_and_reruns_for_those() {
    let mut spec = image("app");
    step_of(&mut spec, "deps/1").files = FileView::KeyedBy(vec![Vec::new()]);
    step_of(&mut spec, "build/compile").files = FileView::KeyedBy(vec![vec!["src".to_owned()]]);
    step_of(&mut spec, "build/install").files = FileView::KeyedBy(vec![vec!["docs".to_owned()]]);
    let project = project(vec![spec]);
    let before = plan(&project, &Commit::default());
    let with = |name: &'static str| {
        let mut commit = Commit::default();
        commit.files.insert(name, "2");
        differing(&before, &plan(&project, &commit))
    };
    assert_eq!(with("Makefile"), ["deps/git", "image-post"]);
    assert_eq!(with("docs"), ["build/install", "deps/git", "image-post"]);
    assert_eq!(with("src"), ["build/compile", "build/install", "deps/git", "image-post"]);
    let StageTask::Run { git: Some(view), .. } = &before.images[0].stages[3].task else { panic!("no step") };
    assert_eq!(view.files, None);
}

#[test]
fn secrets_do_not_key_a_step_that_declares_its_files() {
    let with = |files: FileView, secret: bool| {
        let mut spec = image("app");
        let step = step_of(&mut spec, "build/compile");
        step.files = files;
        let token = Secret { id: "token".to_owned(), source: SecretSource::Env("TOKEN".to_owned()) };
        step.secrets = Vec::from_iter(secret.then_some(token));
        plan(&project(vec![spec]), &Commit::default())
    };
    let declared = || FileView::KeyedBy(vec![Vec::new()]);
    assert!(differing(&with(declared(), false), &with(declared(), true)).is_empty());
    assert!(!differing(&with(FileView::All, false), &with(FileView::All, true)).is_empty());
}

#[test]
fn steps_before_the_git_content_see_none_of_it() {
    let mut spec = image("app");
    spec.conveyor.swap(1, 2);
    let planned = plan(&project(vec![spec]), &Commit::default());
    let stages = &planned.images[0].stages;
    assert!(matches!(&stages[2].task, StageTask::Run { git: None, .. }), "{:?}", stages[2]);
    assert!(matches!(&stages[4].task, StageTask::Run { git: Some(view), .. } if view.after == stages[2].digest));
}

#[test]
fn the_first_image_post_joins_git_content_and_one_is_made_for_it() {
    let mut spec = image("app");
    let labels = Post { labels: [("a".to_owned(), "b".to_owned())].into(), ..Post::default() };
    spec.conveyor.push(Place::new(StageKind::ImagePost, "second", Content::Post(Box::new(labels))));
    let mut without = image("without");
    without.conveyor.pop();
    let planned = plan(&project(vec![spec, without]), &Commit::default());
    let git_of = |image: usize, slot: &str| {
        let stage = planned.images[image].stages.iter().find(|stage| stage.slot.name() == slot).unwrap();
        let StageTask::Post { git, .. } = &stage.task else { panic!("no post") };
        git.is_some()
    };
    assert!(git_of(0, "image-post") && !git_of(0, "second") && git_of(1, "image-post"));
}

#[test]
fn an_image_has_its_own_cache_version_and_platforms() {
    let mut own = image("own");
    own.cache_version = Some("7".to_owned());
    own.platforms = vec!["linux/arm64".parse().unwrap()];
    let mut before = project(vec![own, image("app")]);
    let first = plan(&before, &Commit::default());
    before.cache_version = "8".to_owned();
    let second = plan(&before, &Commit::default());
    let digest =
        |plan: &Plan, name: &str| plan.images.iter().find(|image| image.name.as_str() == name).unwrap().digest();
    assert_eq!(digest(&first, "own"), digest(&second, "own"));
    assert_ne!(digest(&first, "app"), digest(&second, "app"));
    let built: Vec<_> = first.images.iter().map(|image| format!("{} {}", image.name, image.platform)).collect();
    assert_eq!(built, ["app linux/amd64", "own linux/arm64"]);
}

#[test]
fn a_variable_of_another_image_is_keyed_by_what_it_says() {
    let says = |value: ImageAttribute, cmd: &str| {
        let mut consumer = image("app");
        let variable = ImageVariable { name: "X".to_owned(), image: "tool".parse().unwrap(), value };
        let imports = Imports { files: Vec::new(), variables: vec![variable] };
        consumer.conveyor.insert(0, Place::new(StageKind::Deps, "variables", Content::Imports(imports)));
        let mut tool = image("tool");
        post_of(&mut tool).workdir = Some(cmd.to_owned());
        digests(&plan(&project(vec![consumer, tool]), &Commit::default()).images[1])["variables"]
    };
    for value in [ImageAttribute::Name, ImageAttribute::Tag, ImageAttribute::Id, ImageAttribute::ManifestDigest] {
        assert_ne!(says(value, "/a"), says(value, "/b"), "{value:?}");
    }
    assert_eq!(says(ImageAttribute::Repository, "/a"), says(ImageAttribute::Repository, "/b"));
}

#[test]
fn how_texts_and_places_are_read_counts() {
    let post = |rules| {
        let env = [("A".to_owned(), "${B:-x}".to_owned())].into();
        let mut spec = image("app");
        *post_of(&mut spec) = Post { env, rules, ..Post::default() };
        digests(&plan(&project(vec![spec]), &Commit::default()).images[0])["image-post"]
    };
    let rules = [PostRules::Plain, PostRules::Instructions, PostRules::Words].map(post);
    assert_eq!(BTreeSet::from(rules).len(), 3);
    assert!(Post { rules: PostRules::Words, ..Post::default() }.is_empty(), "rules without texts say nothing");

    let import = |places, required, to: &str| {
        let import = Import {
            source: ImportSource::External("docker.io/library/busybox:1".to_owned()),
            stage: None,
            add: "/dist".to_owned(),
            to: to.to_owned(),
            include_paths: Vec::new(),
            exclude_paths: Vec::new(),
            owner: Owner::default(),
            required,
            places,
        };
        let mut spec = image("app");
        spec.git[0].to = "/srv/app".to_owned();
        let content = Content::Imports(Imports { files: vec![import], variables: Vec::new() });
        spec.conveyor.insert(0, Place::new(StageKind::Deps, "imports", content));
        let planned = plan(&project(vec![spec]), &Commit::default());
        let stage = planned.images[0].stages.iter().find(|stage| stage.slot.name() == "imports").unwrap();
        let StageTask::Imports { imports, .. } = &stage.task else { panic!("no imports") };
        (stage.digest, imports[0].import.to.clone())
    };
    let ways = [(Exact, true), (Exact, false), (Followed, true), (Followed, false)];
    let ways = ways.map(|(places, required)| import(places, required, "/x").0);
    assert_eq!(BTreeSet::from(ways).len(), 4);
    for (places, to, expected) in [
        (Followed, "/", "/"),
        (Followed, "/srv", "/srv/"),
        (Followed, "/sr", "/sr"),
        (Followed, "/srv/app", "/srv/app"),
        (Exact, "/", "/"),
    ] {
        assert_eq!(import(places, true, to).1, expected);
    }
}

/// What a keyed step does not name must at least be mapped alike: another directory, or another project, is another content.
#[test]
fn a_step_keyed_by_declared_files_is_of_its_mappings_and_its_project() {
    let keyed = |change: fn(&mut Project)| {
        let mut spec = image("app");
        step_of(&mut spec, "build/compile").files = FileView::KeyedBy(vec![Vec::new(); 2]);
        let second = GitMapping { add: "/docs".to_owned(), to: "/docs".to_owned(), ..spec.git[0].clone() };
        spec.git.push(second);
        spec.conveyor.retain(|place| place.slot.name() != "deps/1");
        let mut project = project(vec![spec]);
        change(&mut project);
        digests(&plan(&project, &Commit::default()).images[0])["build/compile"]
    };
    let before = keyed(|_| {});
    assert_ne!(before, keyed(|project| project.images[0].git[0].add = "/backend".to_owned()));
    assert_ne!(before, keyed(|project| project.images[0].git[0].include_paths = vec!["a".to_owned()]));
    assert_ne!(before, keyed(|project| project.images[0].git[1].owner.user = Some("www".to_owned())));
    assert_ne!(before, keyed(|project| project.name = "other".parse().unwrap()));
    assert_eq!(before, keyed(|project| project.images[0].git.reverse()));
}
