use super::*;

const HEAD: &str = "stager: 1\nproject: shop\n---\n";

/// Each config (after the head, unless it brings its own), and what is wrong with it: line:column message (remedy).
fn table(cases: &[&str]) -> String {
    let case = |text: &&str| {
        let whole = text.is_empty() || text.starts_with("stager:");
        let text = if whole { (*text).to_owned() } else { format!("{HEAD}{text}\n") };
        let error = load_text(&text).expect_err(&text);
        let lines = error.diagnostics.iter().map(|problem| {
            let place =
                problem.place.as_ref().map_or("-".to_owned(), |place| format!("{}:{}", place.line, place.column));
            let related: Vec<String> =
                problem.related.iter().map(|related| format!(" <{}>", related.place.line)).collect();
            let related = related.concat();
            let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("  {place}{related} {}{help}", problem.message)
        });
        format!("{}\n{}", text.strip_prefix(HEAD).unwrap_or(&text).trim_end(), lines.collect::<Vec<_>>().join("\n"))
    };
    cases.iter().map(case).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn of_the_project() {
    let cases = table(&[
        "",
        "stager: 1\n",
        "stager: 2\nproject: Shop_1\nplatform: [linux/amd64]\n",
        "stager: 1\nproject: p\nplatforms: [windows/amd64, linux/amd64, linux/amd64, x]\n",
        "stager: 1\nproject: p\nimage: a\nfrom: b\n",
        "stager: 1\nproject: p\n---\nstager: 1\nproject: q\n",
        "stager: 1\nproject: [p]\ncacheVersion: {}\n",
        "stager: 1\nproject: p\ncleanup: {keepBuiltWithinHours: -1, keep: [{references: {branch: a, tag: b}}, {}, {references: {}}, {references: {tag: v, limit: {last: -2, in: 7, operator: Xor}}}]}\n",
        "stager: 1\nproject: p\n--- text\n",
        "stager: 1\nproject: p\n---\n- a\n",
    ]);
    insta::assert_snapshot!(cases, @r##"
  - `stager.yaml` holds no document (start with `stager: 1` and `project: NAME`)

stager: 1
  1:1 missing key `project`

stager: 2
project: Shop_1
platform: [linux/amd64]
  1:9 `stager` must be 1, the only version of the format
  2:10 `project` must be 1 to 50 lower-case letters, digits and inner hyphens
  3:1 unknown key `platform` (did you mean `platforms`?)

stager: 1
project: p
platforms: [windows/amd64, linux/amd64, linux/amd64, x]
  3:13 `platforms[0]` must be a platform of linux
  3:41 the platform `linux/amd64` is there twice
  3:54 `platforms[3]` must be `os/architecture` or `os/architecture/variant`

stager: 1
project: p
image: a
from: b
  3:1 the first document must be the project, not an image (put `stager: 1` and `project: NAME` before it, and a line `---` between them)

stager: 1
project: p
---
stager: 1
project: q
  4:1 there is more than one project document (the first document is the project, each other one an `image:` or an `artifact:`)

stager: 1
project: [p]
cacheVersion: {}
  2:10 `project` must be text, not a list
  3:15 `cacheVersion` must be a single value, not a map

stager: 1
project: p
cleanup: {keepBuiltWithinHours: -1, keep: [{references: {branch: a, tag: b}}, {}, {references: {}}, {references: {tag: v, limit: {last: -2, in: 7, operator: Xor}}}]}
  3:33 `cleanup.keepBuiltWithinHours` must be between 0 and 4294967295
  3:74 <3> `cleanup.keep[0].references.tag` and `cleanup.keep[0].references.branch` exclude each other
  3:79 missing key `cleanup.keep[1].references`
  3:96 `cleanup.keep[2].references` needs a `branch` or a `tag`
  3:137 `cleanup.keep[3].references.limit.last` must be -1 (all of them), 0 or more
  3:145 `cleanup.keep[3].references.limit.in` must be a duration with units, such as `30s`, `1m30s` or `500ms`
  3:158 `cleanup.keep[3].references.limit.operator` must be And or Or

stager: 1
project: p
--- text
  3:5 the document must be a map, not text

stager: 1
project: p
---
- a
  4:1 the document must be a map, not a list
"##);
}

#[test]
fn of_keys() {
    let cases = table(&[
        "image: a\nfrmo: scratch\nbuilds: {}\npost: {lables: {}, healthcheck: {tset: x}}\ngit: [{to: /a, include_paths: x, zzz: 1}]",
        "image: a\nfrom: scratch\ngit: /src\nfromLatest: yes\npost: [x]\nmount: {to: /x}\nbuild: {steps: [[a]]}",
        "image: a\nfrom: scratch\ngit: [{}]\nimport: [{}]\nmount: [{}]\nbuild: {steps: [{}], caches: [{}], secrets: [{}]}\ntests: [{}]\npost: {symlinks: {/a: {}}}",
        "image: a\nimage: b\nfrom: scratch",
        "image:\nfrom: scratch",
        "image: a\nartifact: b",
        "from: scratch",
        "image: '-a'\nfrom: scratch",
        "image: ''\nfrom: scratch",
    ]);
    insta::assert_snapshot!(cases, @r##"
image: a
frmo: scratch
builds: {}
post: {lables: {}, healthcheck: {tset: x}}
git: [{to: /a, include_paths: x, zzz: 1}]
  5:1 unknown key `frmo` (did you mean `from`?)
  6:1 unknown key `builds` (did you mean `build`?)
  7:8 unknown key `post.lables` (did you mean `labels`?)
  7:34 unknown key `post.healthcheck.tset` (did you mean `test`?)
  8:16 unknown key `git[0].include_paths` (did you mean `includePaths`?)
  8:34 unknown key `git[0].zzz` (the keys here are `add`, `to`, `includePaths`, `excludePaths`, `owner`, `group`, `url`, `commit`, `tag`, `branch`)

image: a
from: scratch
git: /src
fromLatest: yes
post: [x]
mount: {to: /x}
build: {steps: [[a]]}
  6:6 `git` must be a list, not text
  7:13 `fromLatest` must be true or false, not text (`yes`, `no`, `on` and `off` are text in YAML 1.2: write true or false)
  8:7 `post` must be a map, not a list
  9:8 `mount` must be a list, not a map
  10:17 `build.steps[0]` must be a command or a map, not a list

image: a
from: scratch
git: [{}]
import: [{}]
mount: [{}]
build: {steps: [{}], caches: [{}], secrets: [{}]}
tests: [{}]
post: {symlinks: {/a: {}}}
  6:7 missing key `git[0].to`
  7:10 `import[0]` does not say where from (add exactly one of `fromImage`, `fromArtifact` and `from`)
  7:10 `import[0]` does not say when (add `before: deps`, `after: deps`, `before: build` or `after: build`)
  7:10 missing key `import[0].add`
  8:9 missing key `mount[0].to`
  8:9 missing key `mount[0].from`
  9:17 missing key `build.steps[0].command`
  9:31 missing key `build.caches[0].path`
  9:46 missing key `build.secrets[0].id`
  9:46 `build.secrets[0]` has no source (add `src: FILE` or `env: VARIABLE`)
  10:9 missing key `tests[0].name`
  10:9 `tests[0]` checks nothing (add `steps` or `files`)
  11:23 missing key `post.symlinks["/a"].paths`

image: a
image: b
from: scratch
  5:1 <4> the key `image` is there twice

image:
from: scratch
  4:6 `image` must be text, not nothing

image: a
artifact: b
  5:11 <4> a document is either an image or an artifact

from: scratch
  4:1 this document is neither an image nor an artifact (add `image: NAME` or `artifact: NAME`)

image: '-a'
from: scratch
  4:8 `image` must be `/`-separated segments of latin letters, digits, `_`, `.` and `-`, each starting and ending with a letter or digit

image: ''
from: scratch
  4:8 `image` must not be empty
"##);
}

#[test]
fn of_bases() {
    let cases = table(&[
        "image: a",
        "image: a\nfrom: b\nfromImage: c\nfromArtifact: d",
        "image: a\nfrom: Debian",
        "image: a\nfrom: 'debian:a b'",
        "image: a\nfrom: oci:../x",
        "image: a\nfrom: 'oci:'",
        "image: a\nfrom: scratch\nfromLatest: true",
        "image: a\nfrom: a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nfromLatest: true",
    ]);
    insta::assert_snapshot!(cases, @r##"
image: a
  4:8 `a` has no base (add exactly one of `from`, `fromImage` and `fromArtifact`)

image: a
from: b
fromImage: c
fromArtifact: d
  6:12 <5> `fromImage` and `from` exclude each other
  7:15 <5> `fromArtifact` and `from` exclude each other

image: a
from: Debian
  5:7 `from` names an invalid repository `library/Debian`: it must be in lower case

image: a
from: 'debian:a b'
  5:7 `from` has an invalid tag `a b`: tags are 1 to 128 letters, digits, `_`, `.` and `-`, and do not start with `.` or `-`

image: a
from: oci:../x
  5:7 `from` has a path that must not contain `..`

image: a
from: 'oci:'
  5:7 `from` has a path that must not be empty

image: a
from: scratch
fromLatest: true
  6:13 `fromLatest` goes with `from` and an image of a registry only

image: a
from: a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
fromLatest: true
  6:13 `fromLatest` has nothing to look up: `from` names a digest
"##);
}

#[test]
fn of_files() {
    let cases = table(&[
        "image: a\nfrom: b\ngit:\n- {add: src, to: x}\n- {add: /a/../b, to: /a//b}\n- {to: /x, includePaths: [/a, '[', ../b], excludePaths: ''}\n- {to: /x, owner: 'a b', group: -1}",
        "image: a\nfrom: b\ngit:\n- {to: /x, commit: abc}\n- {to: /x, url: https://h/r}\n- {to: /x, url: https://h/r, tag: a, branch: b}\n- {to: /x, url: https://u:p@h/r, commit: abc}\n- {to: /x, url: ext::x, tag: -x}",
        "image: a\nfrom: b\nimport:\n- {from: c, add: /x}\n- {from: c, add: /x, before: deps, after: build}\n- {from: c, fromImage: a, add: /x, before: run}\n- {from: scratch, add: x, after: build}\n- {from: 'oci:x', add: /, after: build}",
        "image: a\nfrom: b\nmount:\n- {to: /, from: tmp}\n- {to: /a, from: ~/x}\n- {to: /b, from: tmp}\n- {to: /b/, from: cache}",
    ]);
    insta::assert_snapshot!(cases, @r##"
image: a
from: b
git:
- {add: src, to: x}
- {add: /a/../b, to: /a//b}
- {to: /x, includePaths: [/a, '[', ../b], excludePaths: ''}
- {to: /x, owner: 'a b', group: -1}
  7:9 `git[0].add` must be an absolute path
  7:18 `git[0].to` must be an absolute path
  8:9 `git[1].add` must not contain `..`
  8:22 `git[1].to` must not contain `//`
  9:27 `git[2].includePaths[0]` must be a relative pattern: without a leading `/`
  9:31 `git[2].includePaths[1]` must be a valid pattern: unclosed character class; missing ']'
  9:36 `git[2].includePaths[2]` must not contain `..`
  9:57 `git[2].excludePaths[0]` must not be empty
  10:19 `git[3].owner` must be a user or group name, or a number
  10:33 `git[3].group` must be a user or group name, or a number

image: a
from: b
git:
- {to: /x, commit: abc}
- {to: /x, url: https://h/r}
- {to: /x, url: https://h/r, tag: a, branch: b}
- {to: /x, url: https://u:p@h/r, commit: abc}
- {to: /x, url: ext::x, tag: -x}
  7:20 `git[0].commit` goes with `url` only (without `url`, the content is that of the commit being built)
  8:17 `git[1].url` needs a `commit`, a `tag` or a `branch` (a commit is the only one that never moves)
  9:46 <9> `git[2].branch` and `git[2].tag` exclude each other
  10:17 `git[3].url` must not contain a password: git's credential helpers are asked for it
  10:42 `git[3].commit` must be a full commit id: 40 or 64 hexadecimal digits
  11:17 `git[4].url` must be a git address: https://, http://, ssh://, git://, file://, or user@host:path
  11:30 `git[4].tag` must be the name of a branch or tag

image: a
from: b
import:
- {from: c, add: /x}
- {from: c, add: /x, before: deps, after: build}
- {from: c, fromImage: a, add: /x, before: run}
- {from: scratch, add: x, after: build}
- {from: 'oci:x', add: /, after: build}
  7:3 `import[0]` does not say when (add `before: deps`, `after: deps`, `before: build` or `after: build`)
  8:43 <8> `import[1].after` and `import[1].before` exclude each other
  9:10 <9> `import[2].from` and `import[2].fromImage` exclude each other
  9:44 `import[2].before` must be `deps` or `build`
  10:10 `import[3].from` must be an image of a registry; make other bases an artifact, and import from that
  10:24 `import[3].add` must be an absolute path
  11:10 `import[4].from` must be an image of a registry; make other bases an artifact, and import from that

image: a
from: b
mount:
- {to: /, from: tmp}
- {to: /a, from: ~/x}
- {to: /b, from: tmp}
- {to: /b/, from: cache}
  7:8 `mount[0].to` must not be the root directory
  8:18 `mount[1].from` must be `tmp`, `cache` or an absolute path of the host
  10:3 <9> two mounts at `/b`
"##);
}

#[test]
fn of_steps() {
    let cases = table(&[
        "image: a\nfrom: b\ndeps: {packages: gcc}",
        "image: a\nfrom: b\ndeps: {packages: ['-x', 'a b', '$(x)'], caches: [{path: /c}], env: {A: 1}}",
        "image: a\nfrom: b\ndeps: {packages: {yum: [a], apt: [b]}}",
        "image: a\nfrom: b\nbuild: {steps: [{name: a/b, command: x}, {name: x, command: y}, {name: x, command: z}, {name: '5', command: ''}, {command: []}, '']}",
        "image: a\nfrom: b\nbuild: {network: x, steps: [{command: x, timeout: 5}, {command: y, timeout: 10ms, network: y, env: {A=B: 1, '1': [x]}}]}",
        "image: a\nfrom: b\nbuild: {caches: [{path: c}, {path: /a, id: ../x, sharing: all}, {path: /b}, {path: /b}], secrets: [{id: a/b, src: x}, {id: a}, {id: a, src: x, env: y}, {id: a, env: '1'}], steps: [x]}",
    ]);
    insta::assert_snapshot!(cases, @r##"
image: a
from: b
deps: {packages: gcc}
  6:18 `deps.packages` must be a list, or a map of lists by package manager, not text

image: a
from: b
deps: {packages: ['-x', 'a b', '$(x)'], caches: [{path: /c}], env: {A: 1}}
  6:19 `deps.packages[0]` must be the name of a package, perhaps with a version
  6:25 `deps.packages[1]` must be the name of a package, perhaps with a version
  6:32 `deps.packages[2]` must be the name of a package, perhaps with a version
  6:49 `deps.caches` is for the steps of `deps.run`, and there are none (what package installs keep goes into `mount: [{to: PATH, from: cache}]`)
  6:68 `deps.env` is for the steps of `deps.run`, and there are none

image: a
from: b
deps: {packages: {yum: [a], apt: [b]}}
  6:19 unknown key `deps.packages.yum` (the keys here are `apt`, `apk`, `dnf`)

image: a
from: b
build: {steps: [{name: a/b, command: x}, {name: x, command: y}, {name: x, command: z}, {name: '5', command: ''}, {command: []}, '']}
  6:24 `build.steps[0].name` must be 1 to 63 letters, digits, `_`, `.` and `-`, starting with a letter, a digit or `_`
  6:65 <6> two steps of `build.steps` are named `x` (a step without a name is named by its number, from 1)
  6:109 `build.steps[3].command` must not be empty
  6:124 `build.steps[4].command` names no program
  6:129 `build.steps[5]` must not be empty

image: a
from: b
build: {network: x, steps: [{command: x, timeout: 5}, {command: y, timeout: 10ms, network: y, env: {A=B: 1, '1': [x]}}]}
  6:18 `build.network` must be `default`, `none` or `host`
  6:51 `build.steps[0].timeout` must be a duration with units, such as `30s`, `1m30s` or `500ms`
  6:77 `build.steps[1].timeout` must be at least 1s
  6:92 `build.steps[1].network` must be `default`, `none` or `host`
  6:114 `build.steps[1].env.1` must be a single value, not a list

image: a
from: b
build: {caches: [{path: c}, {path: /a, id: ../x, sharing: all}, {path: /b}, {path: /b}], secrets: [{id: a/b, src: x}, {id: a}, {id: a, src: x, env: y}, {id: a, env: '1'}], steps: [x]}
  6:25 `build.caches[0].path` must be an absolute path
  6:44 `build.caches[1].id` must be 1 to 63 letters, digits, `_`, `.` and `-`, starting with a letter, a digit or `_`
  6:59 `build.caches[1].sharing` must be `shared`, `private` or `locked`
  6:77 <6> `build.caches` has `/b` twice
  6:105 `build.secrets[0].id` must be 1 to 63 letters, digits, `_`, `.` and `-`, starting with a letter, a digit or `_`
  6:119 `build.secrets[1]` has no source (add `src: FILE` or `env: VARIABLE`)
  6:149 <6> `build.secrets[2].env` and `build.secrets[2].src` exclude each other
  6:166 `build.secrets[3].env` must be a variable name: letters, digits and `_`, not starting with a digit
"##);
}

#[test]
fn of_post_tests_and_publishing() {
    let cases = table(&[
        "image: a\nfrom: b\npost: {symlinks: {/a: {paths: [/a, b, /]}, /b: {paths: [/x]}, /c: {paths: [/x], uid: -1}}}",
        "image: a\nfrom: b\npost: {labels: {'': 1, a b: 2}, env: {'': 1}, entrypoint: 'a \"b', workdir: x, user: 'a b', stopSignal: SIGX, volumes: [/], expose: [0, 80/x]}",
        "image: a\nfrom: b\npost: {healthcheck: {test: [x], interval: 10, timeout: 1us, retries: x}}",
        "image: a\nfrom: b\ntests: [{name: t}, {name: t, files: {a: {}, /b: {permissions: 999, notExist: true}}, steps: [{exitCode: 256, command: ''}]}]",
        "image: a\nfrom: b\npublish: {tags: ['a b', x, x]}",
        "artifact: a\nfrom: b\npublish: {tags: [x]}",
    ]);
    insta::assert_snapshot!(cases, @r##"
image: a
from: b
post: {symlinks: {/a: {paths: [/a, b, /]}, /b: {paths: [/x]}, /c: {paths: [/x], uid: -1}}}
  6:19 the symlink `/a` would point at itself
  6:36 `post.symlinks["/a"].paths[1]` must be an absolute path
  6:39 `post.symlinks["/a"].paths[2]` must not be the root directory
  6:63 <6> two symlinks at `/x`
  6:86 `post.symlinks["/c"].uid` must be between 0 and 4294967295

image: a
from: b
post: {labels: {'': 1, a b: 2}, env: {'': 1}, entrypoint: 'a "b', workdir: x, user: 'a b', stopSignal: SIGX, volumes: [/], expose: [0, 80/x]}
  6:17 `post.labels[""]` must be a label name: not empty, without spaces and `=`
  6:24 `post.labels["a b"]` must be a label name: not empty, without spaces and `=`
  6:39 `post.env[""]` must be a variable name: letters, digits and `_`, not starting with a digit
  6:59 `post.entrypoint` must be a command line whose quotes are closed
  6:76 `post.workdir` must be an absolute path
  6:85 `post.user` must be `user` or `user:group`, by name or number
  6:104 `post.stopSignal` must be a signal such as `SIGTERM`, or its number
  6:120 `post.volumes[0]` must not be the root directory
  6:133 `post.expose[0]` must be a port such as `8080`, `8080/tcp` or `53/udp`
  6:136 `post.expose[1]` must be a port such as `8080`, `8080/tcp` or `53/udp`

image: a
from: b
post: {healthcheck: {test: [x], interval: 10, timeout: 1us, retries: x}}
  6:28 `post.healthcheck.test` is not a health check's command (write [CMD, PROGRAM, ARGUMENT…], [CMD-SHELL, SCRIPT], [NONE], or a text for the shell)
  6:43 `post.healthcheck.interval` must be a duration with units, such as `30s`, `1m30s` or `500ms`
  6:56 `post.healthcheck.timeout` must be 0 or at least 1ms
  6:70 `post.healthcheck.retries` must be a whole number, not text

image: a
from: b
tests: [{name: t}, {name: t, files: {a: {}, /b: {permissions: 999, notExist: true}}, steps: [{exitCode: 256, command: ''}]}]
  6:9 `tests[0]` checks nothing (add `steps` or `files`)
  6:20 two tests are named `t`
  6:38 `tests[1].files.a` must be an absolute path
  6:63 `tests[1].files["/b"].permissions` must be permissions in octal, such as `0755`
  6:105 `tests[1].steps[0].exitCode` must be between 0 and 255
  6:119 `tests[1].steps[0].command` must not be empty

image: a
from: b
publish: {tags: ['a b', x, x]}
  6:17 `publish.tags` has `x` twice
  6:18 `publish.tags[0]` has an invalid tag `a b`: tags are 1 to 128 letters, digits, `_`, `.` and `-`, and do not start with `.` or `-`

artifact: a
from: b
publish: {tags: [x]}
  6:10 an artifact is never published (make it an image, or leave `publish` out)
"##);
}

#[test]
fn across_images() {
    let cases = table(&[
        "image: a\nfrom: x\n---\nartifact: a\nfrom: x",
        "image: app\nfromImage: bsae\n---\nimage: base\nfrom: x",
        "image: a\nfromImage: b\nimport: [{fromArtifact: c, add: /x, before: deps}]\n---\nartifact: b\nfrom: x\n---\nimage: c\nfrom: x",
        "image: a\nfromImage: a",
        "image: a\nfromImage: b\n---\nimage: b\nfrom: x\nimport: [{fromArtifact: c, add: /x, before: deps}]\n---\nartifact: c\nfromImage: a",
        "image: a\nfromImage: b\nzzz: 1\n---\nimage: b\nfromm: x",
    ]);
    insta::assert_snapshot!(cases, @r##"
image: a
from: x
---
artifact: a
from: x
  7:11 <4> the name `a` is there twice (images and artifacts share one set of names)

image: app
fromImage: bsae
---
image: base
from: x
  5:12 image `app` needs the image `bsae`, which is not there (did you mean `base`?)

image: a
fromImage: b
import: [{fromArtifact: c, add: /x, before: deps}]
---
artifact: b
from: x
---
image: c
from: x
  5:12 <8> `b` is an artifact, not an image (use `fromArtifact: b`)
  6:25 <11> `c` is an image, not an artifact (use `fromImage: c`)

image: a
fromImage: a
  5:12 `a` refers to itself (name another image, or leave it out)

image: a
fromImage: b
---
image: b
from: x
import: [{fromArtifact: c, add: /x, before: deps}]
---
artifact: c
fromImage: a
  5:12 <9> <12> images need each other in a circle: a → b → c → a (move what both need into an artifact of its own)

image: a
fromImage: b
zzz: 1
---
image: b
fromm: x
  6:1 unknown key `zzz` (the keys here are `image`, `artifact`, `from`, `fromLatest`, `fromImage`, `fromArtifact`, `fromCacheVersion`, `git`, `deps`, `import`, `build`, `mount`, `post`, `tests`, `publish`)
  9:1 unknown key `fromm` (did you mean `from`?)
"##);
}

#[test]
fn as_a_person_sees_them() {
    let text = format!(
        "{HEAD}image: app\nfrmo: debian\ngit:\n  - {{add: src, to: /src}}\n---\nimage: app\nfromImage: nothing\n"
    );
    insta::assert_snapshot!(shown(&text), @r##"
error[unknown-field]: unknown key `frmo`
 --> stager.yaml:5:1
  |
5 | frmo: debian
  | ^^^^
  |
  = note: in image `app`
  = help: did you mean `from`?

error: `git[0].add` must be an absolute path
 --> stager.yaml:7:11
  |
7 |   - {add: src, to: /src}
  |           ^^^ is "src"
  |
  = note: in image `app`

error[image-name-conflict]: the name `app` is there twice
 --> stager.yaml:9:8
  |
4 | image: app
  |        --- first here
...
9 | image: app
  |        ^^^ again here
  |
  = help: images and artifacts share one set of names

error[image-not-found]: image `app` needs the image `nothing`, which is not there
  --> stager.yaml:10:12
   |
10 | fromImage: nothing
   |            ^^^^^^^
   |
   = help: each image is a document of its own in this file
"##);
}

#[test]
fn in_rendered_text() {
    let text = "stager: 1\nproject: shop\n{% for name in ['web', 'api', 'Üx'] %}\n---\nimage: {{ name }}\nfrmo: debian\nfrom: scratch\npost: {workdir: {{ name }}}\n{% endfor %}\n{{ \"---\\nimage: z\\nfrom: Q\" }}\n";
    insta::assert_snapshot!(shown(text), @r##"
error[unknown-field]: unknown key `frmo`
 --> stager.yaml:6:1
  |
6 | frmo: debian
  | ^^^^
  |
  = note: in image `web`
  = note: the same 2 times more, as the line is rendered several times
  = help: did you mean `from`?

error: `post.workdir` must be an absolute path
 --> stager.yaml (rendered):8:17
  |
8 | post: {workdir: web}
  |                 ^^^ is "web"
  |
 ::: stager.yaml:8:1
  |
8 | post: {workdir: {{ name }}}
  | --------------------------- rendered from this line
  |
  = note: in image `web`
  = note: the lines shown are those of the rendered text; `stager config render` prints all of `stager.yaml`
  = note: the same once more, as the line is rendered several times

error: `image` must be `/`-separated segments of latin letters, digits, `_`, `.` and `-`, each starting and ending with a letter or digit
  --> stager.yaml (rendered):17:8
   |
17 | image: Üx
   |        ^^ is "Üx"
   |
  ::: stager.yaml:5:1
   |
 5 | image: {{ name }}
   | ----------------- rendered from this line
   |
   = note: the lines shown are those of the rendered text; `stager config render` prints all of `stager.yaml`

error: `from` names an invalid repository `library/Q`: it must be in lower case
  --> stager.yaml (rendered):24:7
   |
24 | from: Q
   |       ^ is "Q"
   |
   = note: in image `z`
   = note: the lines shown are those of the rendered text; `stager config render` prints all of `stager.yaml`
"##);
}

#[test]
fn in_templates() {
    insta::assert_snapshot!(shown("stager: 1\nproject: shop\n---\nimage: {{ env('NAME') }}\n"), @r##"
error[env-unset]: the environment variable `NAME` is not set
 --> stager.yaml:4:11
  |
4 | image: {{ env('NAME') }}
  |           ^^^^^^^^^^^
  |
  = help: set it, or give a default: env("NAME", "…")
"##);
    insta::assert_snapshot!(shown("stager: 1\nproject: shop\n---\nimage: {{ naem }\n"), @r##"
error: cannot render the template: syntax error: unexpected `}`, expected end of variable block
 --> stager.yaml:4:16
  |
4 | image: {{ naem }
  |                ^
  |
  = help: what is no template goes between {% raw %} and {% endraw %}
"##);
}
