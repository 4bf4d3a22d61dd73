use std::fmt::Write as _;
use std::time::Instant;

use super::*;

/// Reads a config of a thousand images; the time is printed, not judged.
#[test]
fn a_thousand_templated_images_load() {
    let mut text = "stager: 1\nproject: big\n".to_owned();
    write!(
        text,
        "{{% for number in range(1000) %}}\n---\nimage: service-{{{{ number }}}}\nfromArtifact: base-{{{{ number % 50 }}}}\n\
         git:\n  - {{add: \"/services/{{{{ number }}}}\", to: /src, excludePaths: [docs], owner: 1000}}\n\
         deps:\n  packages: [gcc, make]\n  files: [Makefile]\n  run: [make deps]\n\
         build:\n  network: none\n  env: {{CGO_ENABLED: \"0\"}}\n  steps:\n    - {{name: compile, command: make, files: [src/**]}}\n    - command: |\n        make install DESTDIR=/out\n        {{{{ 'x' * 400 }}}}\n\
         post:\n  labels: {{org.example: \"{{{{ number }}}}\"}}\n  entrypoint: [/app]\n  expose: [8080]\n{{% endfor %}}\n\
         {{% for number in range(50) %}}\n---\nartifact: base-{{{{ number }}}}\nfrom: debian:bookworm\n{{% endfor %}}\n"
    )
    .unwrap();
    let start = Instant::now();
    let config = load_text(&text).unwrap_or_else(|error| panic!("{error}"));
    let took = start.elapsed();
    assert_eq!(config.project.images.len(), 1050);
    eprintln!("{} bytes rendered, {} images: {took:?}", config.text.rendered().text.len(), config.project.images.len());
}
