//! What scalars are: serde_yaml's reading of the same document, laid over the tree.

use serde_yaml::Value;

use super::code;
use super::split::Chunk;
use super::tree::{Content, Mark, Node, ScalarKind};
use crate::source::Diagnostic;

/// Gives every scalar of the tree its kind.
pub(super) fn resolve(file: &str, chunk: Chunk<'_>, node: &mut Node) -> Result<(), Box<Diagnostic>> {
    let value: Value =
        serde_yaml::from_str(chunk.text).map_err(|error| Box::new(rejected(file, chunk, node, &error)))?;
    overlay(node, &value).map_err(|mark| {
        let problem =
            Diagnostic::error("this YAML can be read in more than one way").at(mark.place(file)).code(code::SYNTAX);
        Box::new(problem.help("write it in a plainer form: quote texts, keep values on one line"))
    })
}

fn rejected(file: &str, chunk: Chunk<'_>, node: &Node, error: &serde_yaml::Error) -> Diagnostic {
    let mark = error.location().map_or(node.mark, |location| Mark {
        line: location.line().max(1) + chunk.lines_before,
        column: location.column().max(1),
        len: 1,
    });
    Diagnostic::error(format!("this is not valid YAML: {error}")).at(mark.place(file)).code(code::SYNTAX)
}

fn overlay(node: &mut Node, value: &Value) -> Result<(), Mark> {
    match (&mut node.content, value) {
        (Content::Scalar(scalar), value) => {
            scalar.kind = match value {
                Value::Null => ScalarKind::Null,
                Value::Bool(_) => ScalarKind::Boolean,
                Value::Number(number) if number.is_f64() => ScalarKind::Float,
                Value::Number(_) => ScalarKind::Integer,
                Value::String(_) => ScalarKind::Text,
                Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => return Err(node.mark),
            };
            Ok(())
        }
        (Content::Sequence(items), Value::Sequence(values)) if items.len() == values.len() => {
            items.iter_mut().zip(values).try_for_each(|(item, value)| overlay(item, value))
        }
        (Content::Mapping(entries), Value::Mapping(values)) if entries.len() == values.len() => {
            entries.iter_mut().zip(values.values()).try_for_each(|(entry, value)| overlay(&mut entry.value, value))
        }
        _ => Err(node.mark),
    }
}
