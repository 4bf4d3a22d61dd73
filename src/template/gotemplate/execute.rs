//! Runs templates: walks the nodes of a template and writes its output.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::ast::{Branch, BranchKind, NodeId, NodeKind, Pipe, Source, Template};
use super::error::{Fault, Phase, TemplateError};
use super::format::display;
use super::function::Functions;
use super::guard::{self, Exhausted, Limits};
use super::quote::quoted;
use super::text::Str;
use super::value::{Operand, Value};

/// Templates by name.
pub(super) type Templates = HashMap<Str, Template>;

pub(super) type Executed<T> = Result<T, Box<TemplateError>>;

/// What all templates of one execution share.
pub(super) struct Run {
    pub(super) functions: Arc<Functions>,
    /// Changes while templates run: werf's `tpl` adds to it.
    pub(super) templates: RefCell<Templates>,
    pub(super) limits: Limits,
    /// Seconds and nanoseconds since 1970, if the templates may know.
    pub(super) now: Option<(i64, u32)>,
    /// How often each template is being included right now.
    pub(super) included: RefCell<HashMap<Str, usize>>,
    /// Errors of nested executions, the inner ones first. Nothing catches an error, so they are those of the one failure.
    pub(super) failed: RefCell<Vec<TemplateError>>,
    /// Functions of the clock and of chance that were called.
    pub(super) impure: RefCell<BTreeSet<&'static str>>,
    /// The last output of a nested execution and where its parts came from; `None` when nobody asks for that.
    pub(super) nested: Option<RefCell<(Str, Vec<Span>)>>,
}

/// Where a part of the output was written from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Where it starts in the output, in bytes; it ends where the next one starts.
    pub start: usize,
    /// The name under which the text was parsed.
    pub template: Str,
    /// Line, from 1, of the text or action.
    pub line: usize,
    /// Column in bytes, from 0.
    pub column: usize,
    /// Whether it is the template's own text; else an action brought it.
    pub verbatim: bool,
    /// For a part that came through `include` or `tpl`: the text and the line of the outermost such action.
    pub caller: Option<(Str, usize)>,
}

impl Run {
    fn find(&self, name: &Str) -> Option<Template> {
        self.templates.borrow().get(name).cloned()
    }

    /// Executes the template of the given name with `data` as its dot.
    pub(super) fn execute(&self, root: &Str, name: &Str, data: Value) -> Executed<Str> {
        let (output, spans) = self.execute_spanned(root, name, data, self.nested.as_ref().map(|_| Vec::new()))?;
        let output = Str::from(output);
        if let Some(nested) = &self.nested {
            nested.replace((output.clone(), spans));
        }
        Ok(output)
    }

    /// The same; with `spans`, where each part of the output came from is added to it.
    pub(super) fn execute_spanned(
        &self,
        root: &Str,
        name: &Str,
        data: Value,
        spans: Option<Vec<Span>>,
    ) -> Executed<(Vec<u8>, Vec<Span>)> {
        let Some(template) = self.find(name) else {
            let message = format!("no template {} associated with template {}", quoted(name), quoted(root));
            let fault = Fault::Missing(name.to_text());
            return Err(Box::new(TemplateError { fault, ..TemplateError::general(message) }));
        };
        let dot = Operand::concrete(data);
        let mut state = State {
            run: self,
            root: root.clone(),
            template: template.clone(),
            at: template.root,
            variables: vec![("$".to_owned(), dot.clone())],
            depth: 0,
            output: Vec::new(),
            spans,
        };
        let source = Arc::clone(&template.source);
        state.walk(&source, &dot, template.root)?;
        Ok((state.output, state.spans.unwrap_or_default()))
    }
}

/// The state of one execution.
pub(super) struct State<'a> {
    pub(super) run: &'a Run,
    pub(super) root: Str,
    /// The template being executed.
    pub(super) template: Template,
    /// The node that an error is reported for.
    pub(super) at: NodeId,
    pub(super) variables: Vec<(String, Operand)>,
    depth: usize,
    output: Vec<u8>,
    spans: Option<Vec<Span>>,
}

/// How the execution goes on after a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl State<'_> {
    /// The error of the current node.
    pub(super) fn error(&self, reason: impl AsRef<str>) -> Box<TemplateError> {
        let reason = reason.as_ref();
        let source = &self.template.source;
        let (line, column) = source.place(source.node(self.at).position);
        let context = source.describe(self.at);
        Box::new(TemplateError {
            phase: Phase::Execute,
            template: source.name.to_text(),
            line,
            column: Some(column),
            message: format!("executing {} at <{context}>: {}", quoted(&self.template.name), shortened(reason)),
            action: context,
            reason: reason.to_owned(),
            fault: Fault::Other,
            causes: Vec::new(),
        })
    }

    /// The error of a call at the current node.
    pub(super) fn call_error(&self, name: &str, reason: String) -> Box<TemplateError> {
        let error = self.error(format!("error calling {name}: {reason}"));
        Box::new(TemplateError { reason, fault: Fault::Call(name.to_owned()), ..*error })
    }

    pub(super) fn exhausted(&self, exhausted: Exhausted) -> Box<TemplateError> {
        self.error(exhausted.to_string())
    }

    fn walk(&mut self, source: &Source, dot: &Operand, id: NodeId) -> Executed<Flow> {
        self.at = id;
        guard::step(1).and_then(|()| guard::descend()).map_err(|exhausted| self.exhausted(exhausted))?;
        match &source.node(id).kind {
            NodeKind::Action(pipe) => {
                // Variables stay until the next end; an action that sets some prints nothing.
                let (value, sets) = self.pipeline_of(source, dot, *pipe)?;
                if !sets {
                    self.at = id;
                    self.print(&value)?;
                }
            }
            NodeKind::Break => return Ok(Flow::Break),
            NodeKind::Continue => return Ok(Flow::Continue),
            NodeKind::Branch(branch) if branch.kind == BranchKind::Range => return self.range(source, dot, branch),
            NodeKind::Branch(branch) => return self.if_or_with(source, dot, branch),
            NodeKind::List(nodes) => {
                for &node in nodes {
                    let flow = self.walk(source, dot, node)?;
                    if flow != Flow::Next {
                        return Ok(flow);
                    }
                }
            }
            NodeKind::Template { name, pipe } => self.template(source, dot, id, name, *pipe)?,
            NodeKind::Text(text) => self.write(text)?,
            _ => return Err(self.error("unknown node")),
        }
        Ok(Flow::Next)
    }

    fn write(&mut self, text: &[u8]) -> Executed<()> {
        guard::fits(self.output.len() + text.len()).map_err(|exhausted| self.exhausted(exhausted))?;
        if let Some(spans) = self.spans.as_mut().filter(|_| !text.is_empty()) {
            let source = &self.template.source;
            let node = source.node(self.at);
            let (line, column) = source.place(node.position);
            let verbatim = matches!(node.kind, NodeKind::Text(_));
            let (start, template) = (self.output.len(), source.name.clone());
            spans.push(Span { start, template, line, column, verbatim, caller: None });
        }
        self.output.extend_from_slice(text);
        Ok(())
    }

    /// Takes over where the parts of a nested output came from, when the text is that very output.
    fn splice(&mut self, text: &Str) -> bool {
        let (Some(spans), Some(nested)) = (self.spans.as_mut(), &self.run.nested) else { return false };
        let nested = nested.borrow();
        if !nested.0.is_same(text) || nested.1.is_empty() {
            return false;
        }
        let source = &self.template.source;
        let (line, _) = source.place(source.node(self.at).position);
        let start = self.output.len();
        let caller = Some((source.name.clone(), line));
        spans.extend(nested.1.iter().map(|span| Span {
            start: start + span.start,
            caller: caller.clone(),
            ..span.clone()
        }));
        true
    }

    fn print(&mut self, value: &Operand) -> Executed<()> {
        match &value.value {
            Value::Str(text) if self.splice(text) => {
                let start = self.output.len();
                guard::fits(start + text.len()).map_err(|exhausted| self.exhausted(exhausted))?;
                self.output.extend_from_slice(text);
                Ok(())
            }
            Value::Str(text) => self.write(&text.clone()),
            Value::Nil => self.write(b"<no value>"),
            other => {
                let text = display(other).map_err(|exhausted| self.exhausted(exhausted))?;
                self.write(&text)
            }
        }
    }

    fn pipeline_of(&mut self, source: &Source, dot: &Operand, id: NodeId) -> Executed<(Operand, bool)> {
        let value = self.pipeline(source, dot, id)?;
        let sets = matches!(&source.node(id).kind, NodeKind::Pipe(Pipe { variables, .. }) if !variables.is_empty());
        Ok((value, sets))
    }

    fn if_or_with(&mut self, source: &Source, dot: &Operand, branch: &Branch) -> Executed<Flow> {
        let mark = self.variables.len();
        let value = self.pipeline(source, dot, branch.pipe)?;
        let flow = if value.value.truth() {
            let inner = if branch.kind == BranchKind::With { &value } else { dot };
            self.walk(source, inner, branch.list)?
        } else if let Some(otherwise) = branch.otherwise {
            self.walk(source, dot, otherwise)?
        } else {
            Flow::Next
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, source: &Source, dot: &Operand, branch: &Branch) -> Executed<Flow> {
        let outer = self.variables.len();
        let value = self.pipeline(source, dot, branch.pipe)?;
        let NodeKind::Pipe(pipe) = &source.node(branch.pipe).kind else { return Err(self.error("unknown node")) };
        let elements = self.elements(&value, pipe)?;
        let ran = elements.len() > 0;
        let mark = self.variables.len();
        let mut flow = Flow::Next;
        for index in 0..elements.len() {
            guard::step(1).map_err(|exhausted| self.exhausted(exhausted))?;
            let (key, element) = elements.at(index);
            self.set_range_variables(pipe, key, &element)?;
            let next = self.walk(source, &element, branch.list)?;
            self.variables.truncate(mark);
            if next == Flow::Break {
                break;
            }
        }
        if !ran && let Some(otherwise) = branch.otherwise {
            flow = self.walk(source, dot, otherwise)?;
        }
        self.variables.truncate(outer);
        Ok(flow)
    }

    fn elements(&self, operand: &Operand, pipe: &Pipe) -> Executed<Elements> {
        let value = &operand.value;
        let count = match value.underlying() {
            Value::Int(_, count) => Some(u64::try_from(count).unwrap_or(0)),
            Value::Uint(_, count) => Some(count),
            _ => None,
        };
        if let Some(count) = count {
            if pipe.variables.len() > 1 {
                let shown = self.shown(value)?;
                return Err(self.error(format!("can't use {shown} to iterate over more than one variable")));
            }
            return Ok(Elements::Count(value.clone(), count));
        }
        match value {
            Value::Nil => Ok(Elements::Map(Vec::new(), false, false)),
            Value::List(list) => Ok(Elements::List(list.clone())),
            Value::Map(map) => {
                let interfaces = (map.key() == super::value::Type::Any, map.elem() == super::value::Type::Any);
                Ok(Elements::Map(map.entries(), interfaces.0, interfaces.1))
            }
            _ => {
                let shown = self.shown(value)?;
                Err(self.error(format!("range can't iterate over {shown}")))
            }
        }
    }

    fn shown(&self, value: &Value) -> Executed<String> {
        let text = display(value).map_err(|exhausted| self.exhausted(exhausted))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn set_range_variables(&mut self, pipe: &Pipe, key: Operand, element: &Operand) -> Executed<()> {
        let count = pipe.variables.len();
        let values = if count > 1 { vec![key, element.clone()] } else { vec![element.clone()] };
        for (index, (name, value)) in pipe.variables.iter().zip(values).enumerate() {
            if pipe.assigns {
                self.set_variable(name, value)?;
            } else {
                // The pipeline has declared them last.
                let top = self.variables.len() - count + index;
                self.variables[top].1 = value;
            }
        }
        Ok(())
    }

    /// Overwrites the innermost variable of the name.
    pub(super) fn set_variable(&mut self, name: &str, value: Operand) -> Executed<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, place)) => {
                *place = value;
                Ok(())
            }
            None => Err(self.error(format!("undefined variable: {name}"))),
        }
    }

    pub(super) fn variable(&self, name: &str) -> Executed<Operand> {
        match self.variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => Err(self.error(format!("undefined variable: {name}"))),
        }
    }

    fn template(
        &mut self,
        source: &Source,
        dot: &Operand,
        id: NodeId,
        name: &Str,
        pipe: Option<NodeId>,
    ) -> Executed<()> {
        let run = self.run;
        let Some(template) = run.find(name) else {
            let error = self.error(format!("template {} not defined", quoted(name)));
            return Err(Box::new(TemplateError { fault: Fault::Missing(name.to_text()), ..*error }));
        };
        let limit = run.limits.template_depth;
        if self.depth == limit {
            return Err(self.error(format!("exceeded maximum template depth ({limit})")));
        }
        let dot = match pipe {
            Some(pipe) => self.pipeline(source, dot, pipe)?,
            None => Operand::default(),
        };
        if guard::descend().is_err() {
            self.at = id;
            return Err(self.error(format!("exceeded maximum template depth ({})", self.depth)));
        }
        // Variables of the caller are unknown inside.
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
        let outer = std::mem::replace(&mut self.template, template.clone());
        let at = self.at;
        self.depth += 1;
        self.walk(&template.source, &dot, template.root)?;
        self.depth -= 1;
        self.at = at;
        self.template = outer;
        self.variables = variables;
        Ok(())
    }
}

/// Longest reason that an error keeps whole; nested errors repeat those inside them.
const LONGEST_REASON: usize = 32 << 10;

/// A reason without the middle part of a very long one.
fn shortened(reason: &str) -> Cow<'_, str> {
    if reason.len() <= LONGEST_REASON {
        return Cow::Borrowed(reason);
    }
    let half = LONGEST_REASON / 2;
    let (head, tail) = (&reason.as_bytes()[..half], &reason.as_bytes()[reason.len() - half..]);
    Cow::Owned(format!("{} … {}", String::from_utf8_lossy(head), String::from_utf8_lossy(tail)))
}

/// What a range goes over.
enum Elements {
    /// The numbers below one, of the same type.
    Count(Value, u64),
    List(super::value::List),
    /// Entries, and whether keys and elements are interfaces.
    Map(Vec<(super::value::Key, Value)>, bool, bool),
}

impl Elements {
    fn len(&self) -> u64 {
        match self {
            Self::Count(_, count) => *count,
            Self::List(list) => list.len() as u64,
            Self::Map(entries, ..) => entries.len() as u64,
        }
    }

    /// Key and element of a number below [`Elements::len`].
    fn at(&self, index: u64) -> (Operand, Operand) {
        let position = index as usize;
        match self {
            Self::Count(Value::Uint(kind, _), _) => (Operand::default(), Operand::concrete(Value::Uint(*kind, index))),
            Self::Count(Value::Int(kind, _), _) => {
                (Operand::default(), Operand::concrete(Value::Int(*kind, index as i64)))
            }
            Self::Count(..) => (Operand::default(), Operand::concrete(Value::int64(index as i64))),
            Self::List(list) => {
                let element = list.items().get(position).cloned().unwrap_or_default();
                (Operand::concrete(Value::int(index as i64)), Operand::of_type(element, list.elem()))
            }
            Self::Map(entries, key_interface, element_interface) => {
                let (key, element) = &entries[position];
                (
                    Operand { value: key.value(), interface: *key_interface },
                    Operand { value: element.clone(), interface: *element_interface },
                )
            }
        }
    }
}
