//! The graph that images and artifacts form by their bases and imports.
//!
//! Pure checks over names: what the config layer turns into diagnostics, and the order in which images can be built.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ImageName;
use crate::spec::{Base, ImageSpec, ImageVariable, ImportSource};

/// An image or artifact and what it needs of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphNode {
    /// Its name.
    pub name: ImageName,
    /// Whether it is an artifact.
    pub artifact: bool,
    /// Its references: the base first, then imports in order.
    pub references: Vec<Reference>,
}

/// A reference to another image or artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What is named.
    pub target: ImageName,
    /// Whether it is named as an artifact; `None` when either will do.
    pub artifact: Option<bool>,
    /// What for.
    pub role: Role,
}

/// What a reference is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// As the base.
    Base,
    /// For the import of that index, in the conveyor's order.
    Import(usize),
    /// For the variable of that index, in the conveyor's order.
    Variable(usize),
}

impl GraphNode {
    /// The node of an image.
    pub fn of(image: &ImageSpec) -> Self {
        let base = match &image.base {
            Base::Image { name } => Some((name, false)),
            Base::Artifact { name } => Some((name, true)),
            Base::Scratch | Base::Registry { .. } | Base::File { .. } | Base::Dockerfile(_) => None,
        };
        let base =
            base.map(|(name, artifact)| Reference { target: name.clone(), artifact: Some(artifact), role: Role::Base });
        let imports = image.imports().enumerate().filter_map(|(index, import)| {
            let (name, artifact) = match &import.source {
                ImportSource::Image(name) => (name, false),
                ImportSource::Artifact(name) => (name, true),
                ImportSource::External(_) => return None,
            };
            Some(Reference { target: name.clone(), artifact: Some(artifact), role: Role::Import(index) })
        });
        let of_dockerfile: &[ImageVariable] = match &image.base {
            Base::Dockerfile(dockerfile) => &dockerfile.variables,
            _ => &[],
        };
        // What is said of an image is said of an artifact as well.
        let variables = image.variables().chain(of_dockerfile).enumerate().map(|(index, variable)| Reference {
            target: variable.image.clone(),
            artifact: None,
            role: Role::Variable(index),
        });
        Self {
            name: image.name.clone(),
            artifact: image.artifact,
            references: base.into_iter().chain(imports).chain(variables).collect(),
        }
    }
}

/// What is wrong with a graph; numbers are indices of nodes, `reference` an index of the node's references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphProblem {
    /// Two nodes have one name.
    Duplicate {
        /// The earlier one.
        first: usize,
        /// The later one.
        second: usize,
    },
    /// Nothing has the name.
    Unknown {
        /// Who names it.
        node: usize,
        /// In which reference.
        reference: usize,
    },
    /// An image is named as an artifact, or the other way round.
    WrongKind {
        /// Who names it.
        node: usize,
        /// In which reference.
        reference: usize,
        /// What it names.
        target: usize,
    },
    /// A node names itself.
    Itself {
        /// Who.
        node: usize,
        /// In which reference.
        reference: usize,
    },
    /// Nodes need each other in a circle: each one the next, the last one the first. At least two.
    Cycle(Vec<usize>),
}

/// Everything that is wrong with a graph, one cycle for each knot of nodes.
pub fn problems(nodes: &[GraphNode]) -> Vec<GraphProblem> {
    let mut problems = Vec::new();
    let mut index: BTreeMap<&ImageName, usize> = BTreeMap::new();
    for (second, node) in nodes.iter().enumerate() {
        let first = *index.entry(&node.name).or_insert(second);
        if first != second {
            problems.push(GraphProblem::Duplicate { first, second });
        }
    }
    for (number, node) in nodes.iter().enumerate() {
        for (reference, named) in node.references.iter().enumerate() {
            match index.get(&named.target) {
                None => problems.push(GraphProblem::Unknown { node: number, reference }),
                Some(_) if named.target == node.name => {
                    problems.push(GraphProblem::Itself { node: number, reference });
                }
                Some(&target) if named.artifact.is_some_and(|artifact| nodes[target].artifact != artifact) => {
                    problems.push(GraphProblem::WrongKind { node: number, reference, target });
                }
                Some(_) => {}
            }
        }
    }
    problems.extend(walk(nodes).cycles.into_iter().map(GraphProblem::Cycle));
    problems
}

/// The nodes, each after all that it needs; `None` when there is a cycle.
pub fn order(nodes: &[GraphNode]) -> Option<Vec<usize>> {
    let walk = walk(nodes);
    (walk.cycles.is_empty() && !walk.selves).then_some(walk.order)
}

/// Artifacts that no image needs, directly or through others.
pub fn unused_artifacts(nodes: &[GraphNode]) -> Vec<usize> {
    let edges = edges(nodes);
    let mut needed = vec![false; nodes.len()];
    let mut open: Vec<usize> = (0..nodes.len()).filter(|&node| !nodes[node].artifact).collect();
    while let Some(node) = open.pop() {
        for &target in &edges[node] {
            if !needed[target] {
                needed[target] = true;
                open.push(target);
            }
        }
    }
    (0..nodes.len()).filter(|&node| nodes[node].artifact && !needed[node]).collect()
}

/// For each node, the nodes it needs; unknown names are left out.
fn edges(nodes: &[GraphNode]) -> Vec<Vec<usize>> {
    let mut index: BTreeMap<&ImageName, usize> = BTreeMap::new();
    for (number, node) in nodes.iter().enumerate() {
        index.entry(&node.name).or_insert(number);
    }
    let targets = |node: &GraphNode| -> Vec<usize> {
        node.references.iter().filter_map(|reference| index.get(&reference.target).copied()).collect()
    };
    nodes.iter().map(targets).collect()
}

struct Walk {
    order: Vec<usize>,
    cycles: Vec<Vec<usize>>,
    selves: bool,
}

/// Visits the graph depth first, without recursion: chains may be as long as the config.
fn walk(nodes: &[GraphNode]) -> Walk {
    let edges = edges(nodes);
    let mut walk = Walk { order: Vec::new(), cycles: Vec::new(), selves: false };
    let mut state = vec![State::New; nodes.len()];
    let mut knotted = BTreeSet::new();
    for start in 0..nodes.len() {
        if state[start] != State::New {
            continue;
        }
        state[start] = State::Open;
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.last_mut() {
            let (node, edge) = (*node, *next);
            *next += 1;
            match edges[node].get(edge) {
                None => {
                    state[node] = State::Done;
                    walk.order.push(node);
                    path.pop();
                }
                Some(&target) if target == node => walk.selves = true,
                Some(&target) => match state[target] {
                    State::New => {
                        state[target] = State::Open;
                        path.push((target, 0));
                    }
                    State::Open => {
                        let from = path.iter().position(|(node, _)| *node == target).unwrap_or(0);
                        let cycle: Vec<usize> = path[from..].iter().map(|(node, _)| *node).collect();
                        if cycle.iter().all(|node| !knotted.contains(node)) {
                            walk.cycles.push(from_first(&cycle));
                        }
                        knotted.extend(cycle);
                    }
                    State::Done => {}
                },
            }
        }
    }
    walk
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// The cycle, starting with the node that comes first in the config.
fn from_first(cycle: &[usize]) -> Vec<usize> {
    let start = (0..cycle.len()).min_by_key(|&at| cycle[at]).unwrap_or(0);
    cycle[start..].iter().chain(&cycle[..start]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a: b !c` is the image a, which needs the image b and the artifact c; `!a:` is an artifact.
    fn graph(text: &str) -> Vec<GraphNode> {
        let name = |text: &str| text.trim_start_matches('!').parse::<ImageName>().unwrap();
        text.lines()
            .map(|line| {
                let (own, needs) = line.trim().split_once(':').unwrap();
                let reference = |(index, text): (usize, &str)| Reference {
                    target: name(text),
                    artifact: Some(text.starts_with('!')),
                    role: Role::Import(index),
                };
                let references = needs.split_whitespace().enumerate().map(reference).collect();
                GraphNode { name: name(own), artifact: own.starts_with('!'), references }
            })
            .collect()
    }

    #[test]
    fn what_is_wrong_is_found() {
        for (text, expected) in [
            ("a:\nb: a", vec![]),
            ("a:\nb:\na:", vec![GraphProblem::Duplicate { first: 0, second: 2 }]),
            ("a: x", vec![GraphProblem::Unknown { node: 0, reference: 0 }]),
            ("a: a", vec![GraphProblem::Itself { node: 0, reference: 0 }]),
            ("a: b\n!b:", vec![GraphProblem::WrongKind { node: 0, reference: 0, target: 1 }]),
            ("a: b\nb: c\nc: a", vec![GraphProblem::Cycle(vec![0, 1, 2])]),
            ("c: a\nb: c\na: b", vec![GraphProblem::Cycle(vec![0, 2, 1])]),
            ("x: a\na: b\nb: a", vec![GraphProblem::Cycle(vec![1, 2])]),
            ("a: b\nb: a\nc: d\nd: c", vec![GraphProblem::Cycle(vec![0, 1]), GraphProblem::Cycle(vec![2, 3])]),
        ] {
            assert_eq!(problems(&graph(text)), expected, "{text}");
        }
    }

    #[test]
    fn order_puts_needs_first() {
        assert_eq!(order(&graph("a: b c\nb: c\nc:")), Some(vec![2, 1, 0]));
        assert_eq!(order(&graph("a: b\nb: a")), None);
        assert_eq!(order(&graph("a: a")), None);
        let links: Vec<String> = (0..50_000).map(|number| format!("n{number}: n{}\n", number + 1)).collect();
        let mut chain = links.concat();
        chain.push_str("n50000:");
        assert_eq!(order(&graph(&chain)).unwrap().first(), Some(&50_000));
    }

    #[test]
    fn artifacts_that_nobody_needs_are_found() {
        assert_eq!(unused_artifacts(&graph("a: !b\n!b: !c\n!c:\n!d: !e\n!e:")), [3, 4]);
    }
}
