use super::*;

/// The sample of the design, with what it leaves open filled in.
const SAMPLE: &str = r#"
stager: 1                       # format version
project: shop                   # [a-z0-9] and inner '-', at most 50
platforms: [linux/amd64]
cacheVersion: ""                # enters every from stage
cleanup: {keepBuiltWithinHours: 2, keep: [{references: {branch: main, limit: {last: 3, in: 168h, operator: Or}}, imagesPerReference: {last: 10}}]}
---
artifact: toolchain
from: debian:bookworm
fromLatest: false
fromCacheVersion: {{ env("FROM_IMAGE_DIGEST", "") }}   # any scalar
deps:
  packages: [gcc, make]
---
image: assets
from: rootfs:base/assets.tar
---
image: app
fromArtifact: toolchain
git:
  - {add: /, to: /src, includePaths: [], excludePaths: [docs], owner: 1000, group: 1000}
  - {url: https://example.com/lib.git, commit: 0123456789012345678901234567890123456789, to: /lib}
deps:
  run: [make deps]
  files: [Makefile, deps/**]
  caches: [{path: /root/.cache, id: deps, sharing: shared}]
import:
  - {fromImage: assets, add: /dist, to: /srv/www, includePaths: ["**/*.js"], owner: www, before: build}
  - {from: busybox, add: /bin/busybox, after: deps}
build:
  env: {CGO_ENABLED: "0"}
  network: none
  secrets: [{id: npmrc, src: ~/.npmrc}]
  steps:
    - {name: compile, command: make, files: [src/**], env: {A: 010}, timeout: 1m30s}
    - command: |
        make install DESTDIR=/out
mount: [{to: /var/cache/apt, from: cache}]
post:
  symlinks: {/usr/bin/app: {paths: [/app], uid: 1000, gid: 1000}}
  labels: {org.example: "1", version: 1.10, yes: yes}
  env: {PATH: "/opt/bin:$PATH"}
  entrypoint: /app --name 'a b'
  cmd: []
  workdir: /
  user: "1000:1000"
  stopSignal: SIGTERM
  volumes: [/data]
  expose: [8080/tcp, 53/udp, 9090]
  healthcheck: {test: [CMD, /app, check], interval: 30s}
tests:
  - {name: version, steps: [{command: app --version, stdout: {startsWith: "app "}}], files: {/usr/bin/app: {permissions: 0755}}}
publish: {tags: ["{{ git.branch | slug }}"]}
"#;

#[test]
#[allow(clippy::too_many_lines, reason = "the snapshot is long")]
fn the_sample_loads() {
    let config = load_text(SAMPLE)
        .unwrap_or_else(|error| panic!("{}", diagnostics::render(&error.diagnostics, &error.sources, false)));
    insta::assert_snapshot!(serde_json::to_string_pretty(&config.project).unwrap(), @r##"
{
  "name": "shop",
  "platforms": [
    "linux/amd64"
  ],
  "cache_version": "",
  "images": [
    {
      "name": "toolchain",
      "artifact": true,
      "is_final": false,
      "platforms": [],
      "base": {
        "type": "registry",
        "reference": "docker.io/library/debian:bookworm",
        "latest": false
      },
      "cache_version": null,
      "from_cache_version": "",
      "git": [],
      "conveyor": [
        {
          "slot": "deps/packages",
          "kind": "deps",
          "content": {
            "packages": {
              "any": [
                "gcc",
                "make"
              ]
            }
          }
        }
      ],
      "mounts": [],
      "tests": [],
      "publish_tags": []
    },
    {
      "name": "assets",
      "artifact": false,
      "is_final": true,
      "platforms": [],
      "base": {
        "type": "file",
        "format": "rootfs",
        "path": "base/assets.tar"
      },
      "cache_version": null,
      "from_cache_version": null,
      "git": [],
      "conveyor": [],
      "mounts": [],
      "tests": [],
      "publish_tags": []
    },
    {
      "name": "app",
      "artifact": false,
      "is_final": true,
      "platforms": [],
      "base": {
        "type": "artifact",
        "name": "toolchain"
      },
      "cache_version": null,
      "from_cache_version": null,
      "git": [
        {
          "source": {
            "type": "local"
          },
          "add": "/",
          "to": "/src",
          "include_paths": [],
          "exclude_paths": [
            "docs"
          ],
          "owner": {
            "user": "1000",
            "group": "1000"
          },
          "directory_mode": 493,
          "required": false
        },
        {
          "source": {
            "type": "remote",
            "url": "https://example.com/lib.git",
            "reference": {
              "commit": "0123456789012345678901234567890123456789"
            }
          },
          "add": "/",
          "to": "/lib",
          "include_paths": [],
          "exclude_paths": [],
          "owner": {
            "user": null,
            "group": null
          },
          "directory_mode": 493,
          "required": false
        }
      ],
      "conveyor": [
        {
          "slot": "deps/git",
          "kind": "deps",
          "content": "git"
        },
        {
          "slot": "deps/1",
          "kind": "deps",
          "content": {
            "step": {
              "name": "1",
              "command": {
                "shell": "make deps"
              },
              "files": {
                "matching": [
                  "Makefile",
                  "deps/**"
                ]
              },
              "env": {},
              "unkeyed_env": {},
              "cache_versions": {},
              "network": "default",
              "caches": [
                {
                  "path": "/root/.cache",
                  "id": "deps",
                  "sharing": "shared"
                }
              ],
              "secrets": [],
              "timeout_seconds": null
            }
          }
        },
        {
          "slot": "deps/imports-after-deps",
          "kind": "deps",
          "content": {
            "imports": {
              "files": [
                {
                  "source": {
                    "external": "docker.io/library/busybox:latest"
                  },
                  "stage": null,
                  "add": "/bin/busybox",
                  "to": "/bin/busybox",
                  "include_paths": [],
                  "exclude_paths": [],
                  "owner": {
                    "user": null,
                    "group": null
                  },
                  "required": true,
                  "places": "exact"
                }
              ],
              "variables": []
            }
          }
        },
        {
          "slot": "deps/imports-before-build",
          "kind": "deps",
          "content": {
            "imports": {
              "files": [
                {
                  "source": {
                    "image": "assets"
                  },
                  "stage": null,
                  "add": "/dist",
                  "to": "/srv/www",
                  "include_paths": [
                    "**/*.js"
                  ],
                  "exclude_paths": [],
                  "owner": {
                    "user": "www",
                    "group": null
                  },
                  "required": true,
                  "places": "exact"
                }
              ],
              "variables": []
            }
          }
        },
        {
          "slot": "build/compile",
          "kind": "build",
          "content": {
            "step": {
              "name": "compile",
              "command": {
                "shell": "make"
              },
              "files": {
                "matching": [
                  "src/**"
                ]
              },
              "env": {
                "A": "010",
                "CGO_ENABLED": "0"
              },
              "unkeyed_env": {},
              "cache_versions": {},
              "network": "none",
              "caches": [],
              "secrets": [
                {
                  "id": "npmrc",
                  "source": {
                    "file": "~/.npmrc"
                  }
                }
              ],
              "timeout_seconds": 90
            }
          }
        },
        {
          "slot": "build/2",
          "kind": "build",
          "content": {
            "step": {
              "name": "2",
              "command": {
                "shell": "make install DESTDIR=/out\n"
              },
              "files": "all",
              "env": {
                "CGO_ENABLED": "0"
              },
              "unkeyed_env": {},
              "cache_versions": {},
              "network": "none",
              "caches": [],
              "secrets": [
                {
                  "id": "npmrc",
                  "source": {
                    "file": "~/.npmrc"
                  }
                }
              ],
              "timeout_seconds": null
            }
          }
        },
        {
          "slot": "image-post",
          "kind": "image-post",
          "content": {
            "post": {
              "symlinks": {
                "/usr/bin/app": {
                  "paths": [
                    "/app"
                  ],
                  "uid": 1000,
                  "gid": 1000
                }
              },
              "labels": {
                "org.example": "1",
                "version": "1.10",
                "yes": "yes"
              },
              "env": {
                "PATH": "/opt/bin:$PATH"
              },
              "rules": "plain",
              "entrypoint": [
                "/app",
                "--name",
                "a b"
              ],
              "cmd": [],
              "workdir": "/",
              "user": "1000:1000",
              "stop_signal": "SIGTERM",
              "volumes": [
                "/data"
              ],
              "expose": [
                "8080/tcp",
                "53/udp",
                "9090/tcp"
              ],
              "healthcheck": {
                "test": [
                  "CMD",
                  "/app",
                  "check"
                ],
                "interval": 30000000000,
                "timeout": null,
                "start_period": null,
                "start_interval": null,
                "retries": null
              },
              "on_build": [],
              "remove": {
                "labels": [],
                "env": [],
                "volumes": [],
                "ports": false
              },
              "author": null,
              "clear_history": false
            }
          }
        }
      ],
      "mounts": [
        {
          "to": "/var/cache/apt",
          "source": "cache"
        }
      ],
      "tests": [
        {
          "name": "version",
          "env": {},
          "steps": [
            {
              "command": "app --version",
              "stdin": null,
              "stdout": {
                "equals": null,
                "contains": [],
                "starts_with": "app ",
                "ends_with": null,
                "matches": [],
                "empty": false
              },
              "stderr": {
                "equals": null,
                "contains": [],
                "starts_with": null,
                "ends_with": null,
                "matches": [],
                "empty": false
              },
              "exit_code": 0
            }
          ],
          "files": {
            "/usr/bin/app": {
              "not_exist": false,
              "is_dir": null,
              "permissions": 493,
              "link_target": null,
              "content": {
                "equals": null,
                "contains": [],
                "starts_with": null,
                "ends_with": null,
                "matches": [],
                "empty": false
              }
            }
          }
        }
      ],
      "publish_tags": [
        "feature-x"
      ]
    }
  ]
}
"##);
    insta::assert_snapshot!(serde_json::to_string(&config.cleanup).unwrap(), @r##"
{"disabled":false,"withoutKubernetes":false,"withoutGitHistory":false,"withoutRecentBuilds":false,"keepBuiltWithinHours":2,"keep":[{"references":{"branch":"main"},"limit":{"last":3,"within":604800000000000,"operator":"or"},"imagesPerReference":{"last":10,"within":null,"operator":"and"}}]}
"##);
    insta::assert_snapshot!(format!("{:?}", config.claims), @r##"
[(BaseFile { path: "base/assets.tar" }, Place { file: "stager.yaml (rendered)", line: 16, column: 7, len: 22 }), (SecretFile { path: "~/.npmrc" }, Place { file: "stager.yaml (rendered)", line: 33, column: 30, len: 8 })]
"##);
    assert_eq!(config.warnings, []);
    assert_eq!(config.places[&"app".parse().unwrap()].line, 18);
}

#[test]
fn loops_includes_anchors_and_merges_make_images() {
    let text = "stager: 1\nproject: shop\n{% from 'service.j2' import service %}\n{% for name in ['web', 'api'] %}{{ service(name) }}{% endfor %}\n---\nimage: extra\n<<: &common\n  from: alpine\n  post: {workdir: /srv}\n";
    let library =
        "{% macro service(name) %}\n---\nimage: {{ name }}\nfrom: {{ files.read('base') | trim }}\n{% endmacro %}";
    let files =
        MemoryFiles::new().file("stager.yaml", text).file(".stager/service.j2", library).file("base", "alpine:3\n");
    let config = load(&request(files)).unwrap_or_else(|error| panic!("{error}"));
    let bases: Vec<String> =
        config.project.images.iter().map(|image| format!("{} {:?}", image.name, image.base)).collect();
    insta::assert_snapshot!(bases.join("\n"), @r##"
web Registry { reference: "docker.io/library/alpine:3", latest: false }
api Registry { reference: "docker.io/library/alpine:3", latest: false }
extra Registry { reference: "docker.io/library/alpine:latest", latest: false }
"##);
}

#[test]
fn steps_inherit_from_their_section() {
    let text = "stager: 1\nproject: p\n---\nimage: a\nfrom: scratch\nbuild:\n  env: {A: 1, B: 2}\n  network: none\n  files: [x]\n  caches: [{path: /c}, {path: /d}]\n  secrets: [{id: s, env: S}]\n  steps:\n  - one\n  - {command: [two, ''], env: {B: 3}, network: host, files: [], caches: [{path: /d, sharing: locked, id: own}], secrets: [{id: s, src: f}]}\n";
    let config = load_text(text).unwrap_or_else(|error| panic!("{error}"));
    let step = |place: &stages::spec::Place| match &place.content {
        stages::spec::Content::Step(step) => Some(serde_json::to_string(step.as_ref()).unwrap()),
        _ => None,
    };
    let steps: Vec<String> = config.project.images[0].conveyor.iter().filter_map(step).collect();
    insta::assert_snapshot!(steps.join("\n"), @r##"
{"name":"1","command":{"shell":"one"},"files":{"matching":["x"]},"env":{"A":"1","B":"2"},"unkeyed_env":{},"cache_versions":{},"network":"none","caches":[{"path":"/c","id":"/c","sharing":"shared"},{"path":"/d","id":"/d","sharing":"shared"}],"secrets":[{"id":"s","source":{"env":"S"}}],"timeout_seconds":null}
{"name":"2","command":{"exec":["two",""]},"files":{"matching":[]},"env":{"A":"1","B":"3"},"unkeyed_env":{},"cache_versions":{},"network":"host","caches":[{"path":"/c","id":"/c","sharing":"shared"},{"path":"/d","id":"own","sharing":"locked"}],"secrets":[{"id":"s","source":{"file":"f"}}],"timeout_seconds":null}
"##);
    let claims: Vec<_> = config.claims.iter().map(|(claim, place)| (claim, place.line)).collect();
    insta::assert_snapshot!(format!("{claims:?}"), @r##"
[(SecretVariable { name: "S" }, 11), (HostNetwork { image: "a" }, 14), (SecretFile { path: "f" }, 14)]
"##);
}

#[test]
fn unused_artifacts_are_a_warning() {
    let config = load_text("stager: 1\nproject: p\n---\nartifact: a\nfrom: scratch\n").unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].message.contains("no image needs the artifact `a`"));
}

#[test]
fn graphs_are_written_in_every_format() {
    use crate::config::{GraphFormat, graph};
    let text = "stager: 1\nproject: p\n---\nartifact: tools\nfrom: alpine\n---\nimage: a/b\nfromArtifact: tools\nimport: [{fromArtifact: tools, add: /x, before: deps}, {from: busybox, add: /y, after: build}]\n";
    let config = load_text(text).unwrap_or_else(|error| panic!("{error}"));
    let formats = [GraphFormat::Text, GraphFormat::Mermaid, GraphFormat::Dot, GraphFormat::Json];
    let images: Vec<_> = config.project.images.iter().collect();
    insta::assert_snapshot!(formats.map(|format| graph(&config, &images, format)).join("\n"), @r##"
artifact tools
  from docker.io/library/alpine:latest
image a/b
  from tools
  imports from tools
  imports from docker.io/library/busybox:latest

flowchart LR
  n0(["tools"])
  n1["a/b"]
  n2[("docker.io/library/alpine:latest")]
  n3[("docker.io/library/busybox:latest")]
  n2 --> n0
  n0 --> n1
  n0 -. import .-> n1
  n3 -. import .-> n1

digraph images {
  rankdir=LR;
  n0 [label="tools", shape=ellipse];
  n1 [label="a/b", shape=box];
  n2 [label="docker.io/library/alpine:latest", shape=cylinder];
  n3 [label="docker.io/library/busybox:latest", shape=cylinder];
  n2 -> n0 [style=solid];
  n0 -> n1 [style=solid];
  n0 -> n1 [style=dashed];
  n3 -> n1 [style=dashed];
}

{
  "edges": [
    {
      "external": true,
      "from": "docker.io/library/alpine:latest",
      "role": "base",
      "to": "tools"
    },
    {
      "external": false,
      "from": "tools",
      "role": "base",
      "to": "a/b"
    },
    {
      "external": false,
      "from": "tools",
      "role": "import",
      "to": "a/b"
    },
    {
      "external": true,
      "from": "docker.io/library/busybox:latest",
      "role": "import",
      "to": "a/b"
    }
  ],
  "images": [
    {
      "artifact": true,
      "name": "tools"
    },
    {
      "artifact": false,
      "name": "a/b"
    }
  ],
  "project": "p",
  "schema": 1
}
"##);
}
