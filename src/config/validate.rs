//! Checks across images, whatever the dialect: names, references, cycles, artifacts that nobody needs.

use stages::graph::{self, GraphNode, GraphProblem, Reference, Role};

use super::dialect::LoweredImage;
use super::yaml::Mark;
use crate::source::{Diagnostic, nearest};

/// What is wrong between images; documents with errors of their own count as there, with no references.
pub(crate) fn check(file: &str, images: &[LoweredImage]) -> Vec<Diagnostic> {
    let nodes: Vec<GraphNode> = images.iter().map(node).collect();
    let checker = Checker { file, images, nodes: &nodes };
    let mut found = graph::problems(&nodes);
    found.sort_by_key(rank);
    let mut problems: Vec<Diagnostic> = found.iter().map(|problem| checker.diagnostic(problem)).collect();
    let complete = images.iter().all(|image| image.spec.is_some());
    if complete && problems.is_empty() {
        problems.extend(graph::unused_artifacts(&nodes).into_iter().map(|index| checker.unused(index)));
    }
    problems
}

/// Names come first, then what they refer to, then circles.
fn rank(problem: &GraphProblem) -> u8 {
    match problem {
        GraphProblem::Duplicate { .. } => 0,
        GraphProblem::Unknown { .. } | GraphProblem::WrongKind { .. } => 1,
        GraphProblem::Itself { .. } | GraphProblem::Cycle(_) => 2,
    }
}

fn node(image: &LoweredImage) -> GraphNode {
    let mut node = image.spec.as_ref().map_or_else(
        || GraphNode { name: image.name.clone(), artifact: image.artifact, references: Vec::new() },
        GraphNode::of,
    );
    let first = image.variable_marks.len();
    for (index, (target, _)) in image.mentions.iter().enumerate() {
        if !node.references.iter().any(|reference| reference.target == *target) {
            let role = Role::Variable(first + index);
            node.references.push(Reference { target: target.clone(), artifact: None, role });
        }
    }
    node
}

struct Checker<'a> {
    file: &'a str,
    images: &'a [LoweredImage],
    nodes: &'a [GraphNode],
}

impl Checker<'_> {
    fn diagnostic(&self, problem: &GraphProblem) -> Diagnostic {
        match problem {
            GraphProblem::Duplicate { first, second } => self.duplicate(*first, *second),
            GraphProblem::Unknown { node, reference } => self.unknown(*node, *reference),
            GraphProblem::WrongKind { node, reference, target } => self.wrong_kind(*node, *reference, *target),
            GraphProblem::Itself { node, reference } => {
                let message = format!("`{}` refers to itself", self.images[*node].name);
                self.at(self.reference_mark(*node, *reference), message)
                    .code("image-cycle")
                    .help("name another image, or leave it out")
            }
            GraphProblem::Cycle(cycle) => self.cycle(cycle),
        }
    }

    fn duplicate(&self, first: usize, second: usize) -> Diagnostic {
        let (first, second) = (&self.images[first], &self.images[second]);
        self.at(second.mark, format!("the name `{}` is there twice", second.name))
            .code("image-name-conflict")
            .label("again here")
            .related(first.mark.place(self.file), "first here")
            .help("images and artifacts share one set of names")
    }

    fn unknown(&self, node: usize, reference: usize) -> Diagnostic {
        let named = &self.nodes[node].references[reference];
        let kind = kind(named.artifact == Some(true));
        let names = || self.images.iter().filter(|image| image.name != self.images[node].name);
        let preferred = names()
            .filter(|image| named.artifact.is_none_or(|artifact| image.artifact == artifact))
            .map(|image| image.name.as_str());
        let any = names().map(|image| image.name.as_str());
        let help = match nearest(named.target.as_str(), preferred).or_else(|| nearest(named.target.as_str(), any)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("each {kind} is a document of its own in this file"),
        };
        let message = format!(
            "{} `{}` needs the {kind} `{}`, which is not there",
            self.kind_of(node),
            self.images[node].name,
            named.target
        );
        self.at(self.reference_mark(node, reference), message).code("image-not-found").help(help)
    }

    fn wrong_kind(&self, node: usize, reference: usize, target: usize) -> Diagnostic {
        let named = &self.nodes[node].references[reference];
        let artifact = named.artifact == Some(true);
        let (is, key) = if artifact { ("an image", "fromImage") } else { ("an artifact", "fromArtifact") };
        self.at(self.reference_mark(node, reference), format!("`{}` is {is}, not {}", named.target, article(artifact)))
            .related(self.images[target].mark.place(self.file), "declared here")
            .help(format!("use `{key}: {}`", named.target))
    }

    fn cycle(&self, cycle: &[usize]) -> Diagnostic {
        let names: Vec<String> =
            cycle.iter().chain(cycle.first()).map(|&node| self.images[node].name.to_string()).collect();
        let steps = cycle.iter().zip(cycle.iter().cycle().skip(1));
        let mut problem: Option<Diagnostic> = None;
        for (&from, &to) in steps {
            let target = &self.images[to].name;
            let position = self.nodes[from].references.iter().position(|reference| reference.target == *target);
            let (reference, mark) =
                (position.map(|at| &self.nodes[from].references[at]), position.map(|at| self.reference_mark(from, at)));
            let mark = mark.unwrap_or(self.images[from].mark);
            let label = format!("`{}` {} `{target}`", self.images[from].name, verb(reference));
            problem = Some(match problem {
                None => {
                    self.at(mark, format!("images need each other in a circle: {}", names.join(" → "))).label(label)
                }
                Some(problem) => problem.related(mark.place(self.file), label),
            });
        }
        let problem = problem.unwrap_or_else(|| Diagnostic::error("images need each other in a circle"));
        problem.code("image-cycle").help("move what both need into an artifact of its own")
    }

    fn unused(&self, index: usize) -> Diagnostic {
        let image = &self.images[index];
        let mut warning = self.at(image.mark, format!("no image needs the artifact `{}`", image.name));
        warning.severity = crate::source::Severity::Warning;
        warning.help("it is not built unless asked for by name")
    }

    fn at(&self, mark: Mark, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(message).at(mark.place(self.file))
    }

    fn kind_of(&self, node: usize) -> &'static str {
        kind(self.images[node].artifact)
    }

    fn reference_mark(&self, node: usize, reference: usize) -> Mark {
        let image = &self.images[node];
        let mark = match self.nodes[node].references[reference].role {
            Role::Base => image.base_mark,
            Role::Import(index) => image.import_marks.get(index).copied(),
            Role::Variable(index) => {
                let mentions = image.mentions.iter().map(|(_, mark)| mark);
                image.variable_marks.iter().chain(mentions).nth(index).copied()
            }
        };
        mark.unwrap_or(image.mark)
    }
}

fn kind(artifact: bool) -> &'static str {
    if artifact { "artifact" } else { "image" }
}

fn article(artifact: bool) -> &'static str {
    if artifact { "an artifact" } else { "an image" }
}

fn verb(reference: Option<&Reference>) -> &'static str {
    match reference.map(|reference| reference.role) {
        Some(Role::Base) => "starts from",
        Some(Role::Variable(_)) => "names",
        _ => "imports from",
    }
}
