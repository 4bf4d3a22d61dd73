//! From documents to sections as written: what kind each is, and the rules that hold for a section by itself.

use super::ansible;
use super::context::{Context, filled};
use super::project::present;
use crate::config::read::{At, FromNode};
use crate::config::werf::code;
use crate::config::werf::schema::{DockerfileSection, Items, Names, ProjectSection, SecretEntry, StapelSection};
use crate::config::yaml::{Content, Entry, Mark, Node, Section};

/// A section that could be read.
pub(super) enum Written {
    Project {
        section: Box<ProjectSection>,
        /// Whether its keys and types are right; only then its rules are looked at.
        is_clean: bool,
    },
    Stapel(Box<StapelSection>),
    Dockerfile(Box<DockerfileSection>),
}

/// Reads a section; `None` when it is of no kind, or was malformed.
pub(super) fn read(context: &mut Context<'_>, section: Section) -> Option<Written> {
    let node = section.node?;
    let entries = match &node.content {
        Content::Mapping(entries) => entries.as_slice(),
        _ if node.is_null() => &[],
        _ => {
            context.reader.wrong_type(&node, "a map");
            return None;
        }
    };
    let before = context.reader.problem_count();
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    if has("configVersion") {
        let section = Box::new(ProjectSection::read(&node, &mut context.reader)?);
        Some(Written::Project { section, is_clean: context.reader.problem_count() == before })
    } else if has("dockerfile") {
        let section = DockerfileSection::read(&node, &mut context.reader)?;
        if context.reader.problem_count() == before {
            dockerfile(context, &section);
        }
        Some(Written::Dockerfile(Box::new(section)))
    } else if has("image") || has("artifact") {
        let section = StapelSection::read(&node, &mut context.reader)?;
        if context.reader.problem_count() == before {
            stapel(context, &section);
        }
        Some(Written::Stapel(Box::new(section)))
    } else {
        unknown(context, &node, entries);
        None
    }
}

fn unknown(context: &mut Context<'_>, node: &Node, entries: &[Entry]) {
    let mark = entries.first().map_or(node.mark, |entry| entry.mark);
    let hyphens = entries.iter().find_map(|entry| entry.key.strip_prefix("---").filter(|key| !key.is_empty()));
    let message = "this section is neither the project nor an image";
    let problem = context.error(mark, code::SECTION_KIND, message);
    problem.help = Some(match hyphens {
        Some(_) => {
            "the `---` before it has to be a line of its own: does a template tag with `-` eat the line end?".to_owned()
        }
        None => {
            "the project section has `configVersion`, an image `image` (or `artifact`), and one that is built by a \
                 Dockerfile `dockerfile` too"
                .to_owned()
        }
    });
}

fn stapel(context: &mut Context<'_>, section: &StapelSection) {
    secrets(context, &section.secrets);
    if let Some(table) = present(&section.ansible) {
        ansible::check(context, table);
    }
    if section.broken.iter().any(|key| matches!(*key, "image" | "artifact")) {
        return;
    }
    let named = section.image.as_ref().filter(|names| !names.value.0.is_empty());
    match (named, filled(&section.artifact)) {
        (Some(image), Some(artifact)) => {
            let related = context.reader.place(image.mark);
            let problem =
                context.error(artifact.mark, code::SECTION_KIND, "a section is either an image or an artifact");
            *problem =
                problem.clone().label("also an artifact").related(related, "an image").help("make two sections of it");
        }
        (None, None) => {
            let mark = section.image.as_ref().map(|image| image.mark);
            let mark = mark.or(section.artifact.as_ref().map(|artifact| artifact.mark)).unwrap_or(section.mark);
            nameless(context, mark);
        }
        _ => {}
    }
}

fn dockerfile(context: &mut Context<'_>, section: &DockerfileSection) {
    secrets(context, &section.secrets);
    let names: Option<&At<Names>> = section.image.as_ref();
    if names.is_none_or(|names| names.value.0.is_empty()) && !section.broken.contains(&"image") {
        let mark = names.map(|names| names.mark).or(section.dockerfile.as_ref().map(|field| field.mark));
        nameless(context, mark.unwrap_or(section.mark));
    }
}

fn nameless(context: &mut Context<'_>, mark: Mark) {
    let problem = context.error(mark, code::SECTION_KIND, "this section names no image");
    problem.help = Some("add `image: NAME`".to_owned());
}

/// A secret has one source at most; that is a rule of reading, not of lowering, since werf checks it there.
fn secrets(context: &mut Context<'_>, secrets: &Option<At<Items<SecretEntry>>>) {
    let secrets = secrets.as_ref().map(|secrets| secrets.value.0.as_slice()).unwrap_or_default();
    for (index, secret) in secrets.iter().enumerate() {
        let secret = &secret.value;
        context.within(&["secrets"], Some(index), |context| {
            context.exclusive(&[
                ("env", filled(&secret.env)),
                ("src", filled(&secret.src)),
                ("value", filled(&secret.value)),
            ]);
        });
    }
}
