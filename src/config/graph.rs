//! The images of a project and what they need of each other, for people and programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::str::FromStr;

use serde_json::json;
use stages::ids::ImageName;
use stages::spec::{Base, ImageSpec, ImportSource};

use super::load::LoweredConfig;
use crate::template::yaml_scalar;

/// How a graph is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphFormat {
    /// Lines for people.
    Text,
    /// A mermaid flowchart.
    Mermaid,
    /// Graphviz.
    Dot,
    /// `{"schema":1,"images":[…],"edges":[…]}`.
    Json,
    /// As `werf config graph` prints it: each image with the images of the config that it depends on.
    Yaml,
}

/// A word that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown graph format `{0}`: the formats are text, mermaid, dot, json and yaml")]
pub struct UnknownGraphFormat(pub String);

impl FromStr for GraphFormat {
    type Err = UnknownGraphFormat;

    fn from_str(text: &str) -> Result<Self, UnknownGraphFormat> {
        match text {
            "text" => Ok(Self::Text),
            "mermaid" => Ok(Self::Mermaid),
            "dot" => Ok(Self::Dot),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            other => Err(UnknownGraphFormat(other.to_owned())),
        }
    }
}

/// The graph of some images of a config; ends in a line feed.
pub fn graph(config: &LoweredConfig, images: &[&ImageSpec], format: GraphFormat) -> String {
    let graph = Graph { config, images };
    match format {
        GraphFormat::Text => graph.text(),
        GraphFormat::Mermaid => graph.mermaid(),
        GraphFormat::Dot => graph.dot(),
        GraphFormat::Json => graph.json(),
        GraphFormat::Yaml => graph.yaml(),
    }
}

struct Graph<'a> {
    config: &'a LoweredConfig,
    images: &'a [&'a ImageSpec],
}

/// What an image needs something for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Base,
    Import,
    Name,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Import => "import",
            Self::Name => "name",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Base => "from",
            Self::Import => "imports from",
            Self::Name => "is told of",
        }
    }
}

/// Something that an image needs.
struct Need {
    name: String,
    role: Role,
    /// Whether it is an image or artifact of the config.
    own: bool,
}

fn base(image: &ImageSpec) -> Need {
    let (name, own) = match &image.base {
        Base::Scratch => ("scratch".to_owned(), false),
        Base::Registry { reference, .. } => (reference.clone(), false),
        Base::File { format, path } => (format!("{}:{path}", format.prefix()), false),
        Base::Image { name } | Base::Artifact { name } => (name.to_string(), true),
        Base::Dockerfile(dockerfile) => (format!("dockerfile:{}", dockerfile.dockerfile), false),
    };
    Need { name, role: Role::Base, own }
}

fn imports(image: &ImageSpec) -> impl Iterator<Item = Need> + '_ {
    image.imports().map(|import| {
        let (name, own) = match &import.source {
            ImportSource::Image(name) | ImportSource::Artifact(name) => (name.to_string(), true),
            ImportSource::External(reference) => (reference.clone(), false),
        };
        Need { name, role: Role::Import, own }
    })
}

fn kind(image: &ImageSpec) -> &'static str {
    if image.artifact { "artifact" } else { "image" }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a string does not fail");
}

impl Graph<'_> {
    /// What an image needs, each thing once for each role.
    fn needs(&self, image: &ImageSpec) -> Vec<Need> {
        let names = self.mentions(image).map(|name| Need { name: name.to_string(), role: Role::Name, own: true });
        let mut needs: Vec<_> = std::iter::once(base(image)).chain(imports(image)).chain(names).collect();
        let mut seen = BTreeSet::new();
        needs.retain(|need| seen.insert((need.name.clone(), need.role)));
        needs
    }

    fn mentions(&self, image: &ImageSpec) -> impl Iterator<Item = &ImageName> {
        self.config.references.get(&image.name).into_iter().flat_map(|references| &references.mentions)
    }

    /// The imports in the order in which they are written.
    fn written_imports(&self, image: &ImageSpec) -> Vec<Need> {
        let places = self.config.references.get(&image.name).map(|references| &references.import_places[..]);
        let mut imports: Vec<(usize, Need)> = imports(image).enumerate().collect();
        imports.sort_by_key(|(index, _)| places.and_then(|places| places.get(*index)));
        imports.into_iter().map(|(_, need)| need).collect()
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for image in self.images {
            line(&mut out, format_args!("{} {}", kind(image), image.name));
            for need in self.needs(image) {
                line(&mut out, format_args!("  {} {}", need.role.words(), need.name));
            }
        }
        out
    }

    /// Numbers for the nodes, so that names of any form do: the images first, then what else they need.
    fn numbered(&self) -> Vec<String> {
        let mut names: Vec<String> = self.images.iter().map(|image| image.name.to_string()).collect();
        for need in self.images.iter().flat_map(|image| self.needs(image)) {
            let known = if need.own { &names[..] } else { &names[self.images.len()..] };
            if !known.contains(&need.name) {
                names.push(need.name);
            }
        }
        names
    }

    fn number(&self, names: &[String], need: &Need) -> usize {
        let first = if need.own { 0 } else { self.images.len() };
        first + names.iter().skip(first).position(|known| *known == need.name).unwrap_or(0)
    }

    fn mermaid(&self) -> String {
        let names = self.numbered();
        let mut out = "flowchart LR\n".to_owned();
        for (index, name) in names.iter().enumerate() {
            match self.images.get(index) {
                Some(image) if image.artifact => line(&mut out, format_args!("  n{index}([\"{name}\"])")),
                Some(_) => line(&mut out, format_args!("  n{index}[\"{name}\"]")),
                None => line(&mut out, format_args!("  n{index}[(\"{name}\")]")),
            }
        }
        for (index, image) in self.images.iter().enumerate() {
            for need in self.needs(image) {
                let arrow = match need.role {
                    Role::Base => "-->".to_owned(),
                    role => format!("-. {} .->", role.name()),
                };
                line(&mut out, format_args!("  n{} {arrow} n{index}", self.number(&names, &need)));
            }
        }
        out
    }

    fn dot(&self) -> String {
        let names = self.numbered();
        let mut out = "digraph images {\n  rankdir=LR;\n".to_owned();
        for (index, name) in names.iter().enumerate() {
            let shape = match self.images.get(index) {
                Some(image) if image.artifact => "ellipse",
                Some(_) => "box",
                None => "cylinder",
            };
            line(&mut out, format_args!("  n{index} [label={name:?}, shape={shape}];"));
        }
        for (index, image) in self.images.iter().enumerate() {
            for need in self.needs(image) {
                let style = match need.role {
                    Role::Base => "solid",
                    Role::Import => "dashed",
                    Role::Name => "dotted",
                };
                line(&mut out, format_args!("  n{} -> n{index} [style={style}];", self.number(&names, &need)));
            }
        }
        out.push_str("}\n");
        out
    }

    fn json(&self) -> String {
        let images: Vec<_> =
            self.images.iter().map(|image| json!({"name": image.name, "artifact": image.artifact})).collect();
        let edge = |image: &ImageSpec, need: Need| json!({"from": need.name, "to": image.name, "role": need.role.name(), "external": !need.own});
        let edges: Vec<_> =
            self.images.iter().flat_map(|image| self.needs(image).into_iter().map(|need| edge(image, need))).collect();
        let graph = json!({"schema": 1, "project": self.config.project.name, "images": images, "edges": edges});
        format!("{graph:#}\n")
    }

    /// werf's form: only what the config itself declares; imports as often as they are written, dependencies once.
    fn yaml(&self) -> String {
        if self.images.is_empty() {
            return "[]\n".to_owned();
        }
        let mut images: Vec<&&ImageSpec> = self.images.iter().collect();
        images.sort_by_key(|image| &image.name);
        images.into_iter().map(|image| self.yaml_entry(image)).collect()
    }

    fn yaml_entry(&self, image: &ImageSpec) -> String {
        let base = Some(base(image)).filter(|need| need.own);
        let imports = self.written_imports(image);
        let mut depends: Vec<String> =
            base.map(|need| format!("  from: {}", yaml_scalar(&need.name))).into_iter().collect();
        depends.extend(yaml_list("import", imports.iter().filter(|need| need.own).map(|need| need.name.as_str())));
        depends.extend(yaml_list("dependencies", self.mentions(image).map(ImageName::as_str)));
        let mut lines = Vec::new();
        if !image.name.as_str().is_empty() {
            lines.push(format!("image: {}", yaml_scalar(image.name.as_str())));
        }
        lines.extend((!depends.is_empty()).then(|| "dependsOn:".to_owned()));
        lines.append(&mut depends);
        if lines.is_empty() {
            lines.push("{}".to_owned());
        }
        let marks = std::iter::once("- ").chain(std::iter::repeat("  "));
        marks.zip(&lines).fold(String::new(), |out, (mark, text)| out + mark + text + "\n")
    }
}

fn yaml_list<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let items: Vec<String> = names.map(|name| format!("  - {}", yaml_scalar(name))).collect();
    let head = (!items.is_empty()).then(|| format!("  {key}:"));
    head.into_iter().chain(items).collect()
}
