//! The images of a project and what they need of each other, for people and programs.

use std::fmt::Write as _;
use std::str::FromStr;

use serde_json::json;
use stages::spec::{Base, ImageSpec, ImportSource, Project};

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
}

/// A word that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown graph format `{0}`: the formats are text, mermaid, dot and json")]
pub struct UnknownGraphFormat(pub String);

impl FromStr for GraphFormat {
    type Err = UnknownGraphFormat;

    fn from_str(text: &str) -> Result<Self, UnknownGraphFormat> {
        match text {
            "text" => Ok(Self::Text),
            "mermaid" => Ok(Self::Mermaid),
            "dot" => Ok(Self::Dot),
            "json" => Ok(Self::Json),
            other => Err(UnknownGraphFormat(other.to_owned())),
        }
    }
}

/// The graph of a project; ends in a line feed.
pub fn graph(project: &Project, format: GraphFormat) -> String {
    match format {
        GraphFormat::Text => text(project),
        GraphFormat::Mermaid => mermaid(project),
        GraphFormat::Dot => dot(project),
        GraphFormat::Json => json_text(project),
    }
}

/// What an image needs: the name of it, and what for.
fn needs(image: &ImageSpec) -> Vec<(String, &'static str, bool)> {
    let base = match &image.base {
        Base::Scratch => ("scratch".to_owned(), "base", false),
        Base::Registry { reference, .. } => (reference.clone(), "base", false),
        Base::File { format, path } => (format!("{}:{path}", format.prefix()), "base", false),
        Base::Image { name } | Base::Artifact { name } => (name.to_string(), "base", true),
        Base::Dockerfile(dockerfile) => (format!("dockerfile:{}", dockerfile.dockerfile), "base", false),
    };
    let imports = image.imports().map(|import| match &import.source {
        ImportSource::Image(name) | ImportSource::Artifact(name) => (name.to_string(), "import", true),
        ImportSource::External(reference) => (reference.clone(), "import", false),
    });
    let mut needs: Vec<_> = std::iter::once(base).chain(imports).collect();
    let mut seen = std::collections::BTreeSet::new();
    needs.retain(|(name, role, _)| seen.insert((name.clone(), *role)));
    needs
}

fn kind(image: &ImageSpec) -> &'static str {
    if image.artifact { "artifact" } else { "image" }
}

fn text(project: &Project) -> String {
    let mut out = String::new();
    for image in &project.images {
        line(&mut out, format_args!("{} {}", kind(image), image.name));
        for (name, role, _) in needs(image) {
            line(&mut out, format_args!("  {} {name}", if role == "base" { "from" } else { "imports from" }));
        }
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a string does not fail");
}

/// Numbers for the nodes, so that names of any form do: images first, then what is outside the project.
fn numbered(project: &Project) -> Vec<String> {
    let mut names: Vec<String> = project.images.iter().map(|image| image.name.to_string()).collect();
    for (name, _, inside) in project.images.iter().flat_map(needs) {
        if !inside && !names[project.images.len()..].contains(&name) {
            names.push(name);
        }
    }
    names
}

fn number(names: &[String], images: usize, name: &str, inside: bool) -> usize {
    let range = if inside { 0 } else { images };
    range + names.iter().skip(range).position(|known| known == name).unwrap_or(0)
}

fn mermaid(project: &Project) -> String {
    let names = numbered(project);
    let images = project.images.len();
    let mut out = "flowchart LR\n".to_owned();
    for (index, name) in names.iter().enumerate() {
        match project.images.get(index) {
            Some(image) if image.artifact => line(&mut out, format_args!("  n{index}([\"{name}\"])")),
            Some(_) => line(&mut out, format_args!("  n{index}[\"{name}\"]")),
            None => line(&mut out, format_args!("  n{index}[(\"{name}\")]")),
        }
    }
    for (index, image) in project.images.iter().enumerate() {
        for (name, role, inside) in needs(image) {
            let arrow = if role == "base" { "-->" } else { "-. import .->" };
            line(&mut out, format_args!("  n{} {arrow} n{index}", number(&names, images, &name, inside)));
        }
    }
    out
}

fn dot(project: &Project) -> String {
    let names = numbered(project);
    let images = project.images.len();
    let mut out = "digraph images {\n  rankdir=LR;\n".to_owned();
    for (index, name) in names.iter().enumerate() {
        let shape = match project.images.get(index) {
            Some(image) if image.artifact => "ellipse",
            Some(_) => "box",
            None => "cylinder",
        };
        line(&mut out, format_args!("  n{index} [label={name:?}, shape={shape}];"));
    }
    for (index, image) in project.images.iter().enumerate() {
        for (name, role, inside) in needs(image) {
            let style = if role == "base" { "solid" } else { "dashed" };
            line(&mut out, format_args!("  n{} -> n{index} [style={style}];", number(&names, images, &name, inside)));
        }
    }
    out.push_str("}\n");
    out
}

fn json_text(project: &Project) -> String {
    let images: Vec<_> =
        project.images.iter().map(|image| json!({"name": image.name, "artifact": image.artifact})).collect();
    let edges: Vec<_> = project
        .images
        .iter()
        .flat_map(|image| {
            needs(image)
                .into_iter()
                .map(|(name, role, inside)| json!({"from": name, "to": image.name, "role": role, "external": !inside}))
        })
        .collect();
    let graph = json!({"schema": 1, "project": project.name, "images": images, "edges": edges});
    format!("{graph:#}\n")
}
