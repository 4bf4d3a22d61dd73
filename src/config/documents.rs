//! The rendered documents of chosen images, as they are.

use std::collections::BTreeSet;

use stages::ids::ImageName;

use super::load::LoweredConfig;
use super::yaml;

/// The documents that declare these images, in the order of the text and each of them once, with `---` between them.
pub fn documents(config: &LoweredConfig, images: &BTreeSet<&ImageName>) -> String {
    let rendered = config.text.rendered();
    let (sections, _) = yaml::parse_sections(&rendered.name, &rendered.text);
    let starts: Vec<usize> = line_starts(&rendered.text).collect();
    let declared: BTreeSet<usize> =
        images.iter().filter_map(|name| starts.get(config.places.get(*name)?.line.checked_sub(1)?).copied()).collect();
    let mut text = String::new();
    for section in sections.iter().filter(|section| declared.range(section.range.clone()).next().is_some()) {
        if !text.is_empty() {
            text.push_str("---\n");
        }
        text.push_str(rendered.text.get(section.range.clone()).unwrap_or_default());
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

fn line_starts(text: &str) -> impl Iterator<Item = usize> + '_ {
    std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1))
}
