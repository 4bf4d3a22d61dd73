//! Evaluates pipelines, commands and their arguments, with the type checks that Go makes by reflection.

use super::ast::{NodeId, NodeKind, Number, Source};
use super::execute::{Executed, State};
use super::function::{Arguments, Body, Call, Function};
use super::guard;
use super::value::{Key, Object, Operand, Type, UintKind, Value};

/// What is called by a name: a function, or a method of an object.
enum Callee<'a> {
    Function(&'a Function),
    Method { object: &'a dyn Object, params: &'static [Type], variadic: bool, result: Type },
}

impl Callee<'_> {
    fn params(&self) -> &'static [Type] {
        match self {
            Self::Function(function) => function.params,
            Self::Method { params, .. } => params,
        }
    }

    fn is_variadic(&self) -> bool {
        match self {
            Self::Function(function) => function.variadic,
            Self::Method { variadic, .. } => *variadic,
        }
    }

    fn param(&self, index: usize) -> Type {
        let params = self.params();
        params.get(index).or_else(|| params.last()).copied().unwrap_or(Type::Any)
    }

    fn result(&self) -> Type {
        match self {
            Self::Function(function) => function.result,
            Self::Method { result, .. } => *result,
        }
    }
}

/// A place in the tree where a chain of fields is evaluated: its node, the arguments behind it (the first is the chain
/// itself), and the value that the previous stage of the pipeline gives.
struct Site<'a> {
    node: NodeId,
    arguments: &'a [NodeId],
    last: Option<Operand>,
}

impl State<'_> {
    /// The value of a pipeline. Variables that it sets stay: callers drop them when their block ends.
    pub(super) fn pipeline(&mut self, source: &Source, dot: &Operand, id: NodeId) -> Executed<Operand> {
        self.at = id;
        guard::descend().map_err(|exhausted| self.exhausted(exhausted))?;
        let NodeKind::Pipe(pipe) = &source.node(id).kind else { return Err(self.error("unknown node")) };
        let mut last = None;
        for &command in &pipe.commands {
            let mut value = self.command(source, dot, command, last)?;
            value.interface = false;
            last = Some(value);
        }
        let value = last.unwrap_or_default();
        for name in &pipe.variables {
            if pipe.assigns {
                self.set_variable(name, value.clone())?;
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, source: &Source, dot: &Operand, id: NodeId, last: Option<Operand>) -> Executed<Operand> {
        guard::step(1).map_err(|exhausted| self.exhausted(exhausted))?;
        let NodeKind::Command(arguments) = &source.node(id).kind else { return Err(self.error("unknown node")) };
        let Some(&first) = arguments.first() else { return Err(self.error("empty command")) };
        match &source.node(first).kind {
            NodeKind::Field(_) => self.field_node(source, dot, first, arguments, last),
            NodeKind::Chain { .. } => self.chain_node(source, dot, first, arguments, last),
            NodeKind::Identifier(name) => self.function(source, dot, first, name, Site { node: id, arguments, last }),
            NodeKind::Pipe(_) => {
                self.refuse_arguments(source, arguments, last.as_ref())?;
                self.pipeline(source, dot, first)
            }
            NodeKind::Variable(_) => self.variable_node(source, dot, first, arguments, last),
            _ => {
                self.at = first;
                self.refuse_arguments(source, arguments, last.as_ref())?;
                match &source.node(first).kind {
                    NodeKind::Dot => Ok(dot.clone()),
                    NodeKind::Nil => Err(self.error("nil is not a command")),
                    _ => self.constant(source, first),
                }
            }
        }
    }

    /// A constant where no type is asked for.
    fn constant(&mut self, source: &Source, id: NodeId) -> Executed<Operand> {
        self.at = id;
        let value = match &source.node(id).kind {
            NodeKind::Bool(value) => Value::Bool(*value),
            NodeKind::Number(number) => self.ideal_number(number)?,
            NodeKind::String { text, .. } => Value::Str(text.clone()),
            _ => {
                let shown = super::quote::quoted(source.describe(id).as_bytes());
                return Err(self.error(format!("can't evaluate command {shown}")));
            }
        };
        Ok(Operand::concrete(value))
    }

    /// The spelling of a number decides its type.
    fn ideal_number(&self, number: &Number) -> Executed<Value> {
        let text = number.text.as_bytes();
        if let Some((real, imaginary)) = number.complex {
            return Ok(Value::Complex(real, imaginary));
        }
        let is_rune = text.starts_with(b"'");
        let is_hex = matches!(text, [b'0', b'x' | b'X', _, ..]) && !text.iter().any(|byte| b"pP".contains(byte));
        let looks_float = text.iter().any(|byte| b".eEpP".contains(byte));
        match number {
            Number { float: Some(float), .. } if !is_hex && !is_rune && looks_float => Ok(Value::Float(*float)),
            Number { int: Some(int), .. } => Ok(Value::int(*int)),
            Number { uint: Some(_), .. } => Err(self.error(format!("{} overflows int", number.text))),
            _ => Ok(Value::Nil),
        }
    }

    fn refuse_arguments(&self, source: &Source, arguments: &[NodeId], last: Option<&Operand>) -> Executed<()> {
        if arguments.len() > 1 || last.is_some() {
            let shown = arguments.first().map(|&first| source.describe(first)).unwrap_or_default();
            return Err(self.error(format!("can't give argument to non-function {shown}")));
        }
        Ok(())
    }

    fn field_node(
        &mut self,
        source: &Source,
        dot: &Operand,
        id: NodeId,
        arguments: &[NodeId],
        last: Option<Operand>,
    ) -> Executed<Operand> {
        self.at = id;
        let NodeKind::Field(names) = &source.node(id).kind else { return Err(self.error("unknown node")) };
        self.field_chain(source, dot, dot.clone(), names, Site { node: id, arguments, last })
    }

    fn chain_node(
        &mut self,
        source: &Source,
        dot: &Operand,
        id: NodeId,
        arguments: &[NodeId],
        last: Option<Operand>,
    ) -> Executed<Operand> {
        self.at = id;
        let NodeKind::Chain { node, fields } = &source.node(id).kind else { return Err(self.error("unknown node")) };
        if matches!(source.node(*node).kind, NodeKind::Nil) {
            return Err(self.error(format!("indirection through explicit nil in {}", source.describe(id))));
        }
        self.at = *node;
        let receiver = match &source.node(*node).kind {
            NodeKind::Pipe(_) => self.pipeline(source, dot, *node)?,
            NodeKind::Identifier(name) => {
                self.function(source, dot, *node, name, Site { node: *node, arguments: &[], last: None })?
            }
            _ => self.constant(source, *node)?,
        };
        self.field_chain(source, dot, receiver, fields, Site { node: id, arguments, last })
    }

    fn variable_node(
        &mut self,
        source: &Source,
        dot: &Operand,
        id: NodeId,
        arguments: &[NodeId],
        last: Option<Operand>,
    ) -> Executed<Operand> {
        self.at = id;
        let NodeKind::Variable(names) = &source.node(id).kind else { return Err(self.error("unknown node")) };
        let Some((name, fields)) = names.split_first() else { return Err(self.error("unknown node")) };
        let value = self.variable(name)?;
        if fields.is_empty() {
            self.refuse_arguments(source, arguments, last.as_ref())?;
            return Ok(value);
        }
        self.field_chain(source, dot, value, fields, Site { node: id, arguments, last })
    }

    /// Follows fields; only the last one can be a method that gets the arguments.
    fn field_chain(
        &mut self,
        source: &Source,
        dot: &Operand,
        receiver: Operand,
        names: &[String],
        site: Site<'_>,
    ) -> Executed<Operand> {
        let Some((last, before)) = names.split_last() else { return Ok(receiver) };
        let mut receiver = receiver;
        for name in before {
            let bare = Site { node: site.node, arguments: &[], last: None };
            receiver = self.field(source, dot, name, receiver, bare)?;
        }
        self.field(source, dot, last, receiver, site)
    }

    fn field(
        &mut self,
        source: &Source,
        dot: &Operand,
        name: &str,
        receiver: Operand,
        site: Site<'_>,
    ) -> Executed<Operand> {
        if receiver.is_invalid() {
            return Ok(Operand::default());
        }
        let has_arguments = site.arguments.len() > 1 || site.last.is_some();
        match &receiver.value {
            Value::Nil => return Err(self.error(format!("nil pointer evaluating {}.{name}", receiver.type_name()))),
            Value::Object(object) => {
                if let Some(method) = object.method(name) {
                    let callee = Callee::Method {
                        object: object.as_ref(),
                        params: method.params,
                        variadic: method.variadic,
                        result: method.result,
                    };
                    return self.call(source, dot, &callee, name, site);
                }
                if let Some(field) = object.field(name) {
                    let value = field.map_err(|reason| self.error(reason))?;
                    if has_arguments {
                        return Err(self.error(format!("{name} has arguments but cannot be invoked as function")));
                    }
                    return Ok(Operand::concrete(value));
                }
            }
            Value::Map(map) if matches!(map.key(), Type::String | Type::Any) => {
                if has_arguments {
                    return Err(self.error(format!("{name} is not a method but has arguments")));
                }
                let found = map.find(&Key::from(name));
                return Ok(found.map_or_else(Operand::default, |value| Operand::of_type(value, map.elem())));
            }
            _ => {}
        }
        Err(self.error(format!("can't evaluate field {name} in type {}", receiver.type_name())))
    }

    fn function(
        &mut self,
        source: &Source,
        dot: &Operand,
        id: NodeId,
        name: &str,
        site: Site<'_>,
    ) -> Executed<Operand> {
        self.at = id;
        let run = self.run;
        match run.functions.find(name) {
            Some(function) => self.call(source, dot, &Callee::Function(function), name, site),
            None => Err(self.error(format!("{} is not a defined function", super::quote::quoted(name.as_bytes())))),
        }
    }

    fn call(
        &mut self,
        source: &Source,
        dot: &Operand,
        callee: &Callee<'_>,
        name: &str,
        site: Site<'_>,
    ) -> Executed<Operand> {
        let arguments = site.arguments.get(1..).unwrap_or_default();
        self.check_count(callee, name, arguments.len(), site.last.is_some())?;
        if matches!(callee, Callee::Function(function) if function.result == Type::Reflect)
            && matches!(name, "and" | "or")
        {
            return self.and_or(source, dot, arguments, site.last, name == "or");
        }
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for (index, &argument) in arguments.iter().enumerate() {
            values.push(self.argument(source, dot, callee.param(index), argument)?);
        }
        if let Some(last) = site.last {
            values.push(self.validate(last, Some(callee.param(values.len())))?);
        }
        if name == "call" && callee.result() == Type::Reflect {
            let shown = match arguments.first() {
                Some(&argument) => source.describe(argument),
                None => match &values[0].value {
                    Value::Str(text) => text.to_text(),
                    other => format!("<{} Value>", other.type_name()),
                },
            };
            self.at = site.node;
            return Err(self.error(format!("error calling call: {}", not_callable(&values[0], &shown))));
        }
        let outcome = match callee {
            Callee::Function(function) => {
                if is_impure(function.name) {
                    self.run.impure.borrow_mut().insert(function.name);
                }
                let mut call = Call { run: self.run, root: self.root.clone() };
                match &function.body {
                    Body::Plain(body) => body(&mut call, &Arguments(&values)),
                    Body::Hosted(body) => body(&mut call, &Arguments(&values)),
                }
            }
            Callee::Method { object, .. } => {
                let values: Vec<Value> = values.into_iter().map(|operand| operand.value).collect();
                object.call(name, &values)
            }
        };
        let charged = outcome.and_then(|value| {
            guard::allocate(size_of_value(&value))?;
            Ok(value)
        });
        match charged {
            Ok(value) => Ok(Operand::of_type(value, callee.result())),
            Err(reason) => {
                self.at = site.node;
                Err(self.call_error(name, reason))
            }
        }
    }

    fn check_count(&self, callee: &Callee<'_>, name: &str, given: usize, piped: bool) -> Executed<()> {
        let total = given + usize::from(piped);
        let params = callee.params().len();
        if callee.is_variadic() {
            let wanted = params - 1;
            if total < wanted {
                return Err(self.error(format!("wrong number of args for {name}: want at least {wanted} got {given}")));
            }
        } else if total != params {
            return Err(self.error(format!("wrong number of args for {name}: want {params} got {total}")));
        }
        Ok(())
    }

    /// `and` and `or` stop at the argument that decides.
    fn and_or(
        &mut self,
        source: &Source,
        dot: &Operand,
        arguments: &[NodeId],
        last: Option<Operand>,
        decisive: bool,
    ) -> Executed<Operand> {
        let mut value = Operand::default();
        for &argument in arguments {
            value = self.argument(source, dot, Type::Reflect, argument)?;
            if value.value.truth() == decisive {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// Checks a value against the type of the parameter that it is for.
    fn validate(&self, operand: Operand, wanted: Option<Type>) -> Executed<Operand> {
        let Some(wanted) = wanted else { return Ok(operand) };
        if operand.is_invalid() {
            if wanted == Type::Reflect {
                return Ok(operand);
            }
            if wanted.can_be_nil() {
                return Ok(Operand::of_type(wanted.nil_value(), wanted));
            }
            return Err(self.error(format!("invalid value; expected {wanted}")));
        }
        match (wanted, operand.value.type_of()) {
            (Type::Reflect, _) => Ok(operand),
            (Type::Any, _) => Ok(Operand { value: operand.value, interface: true }),
            (_, Some(found)) if found == wanted => Ok(Operand::concrete(operand.value)),
            (_, Some(found)) if is_pointer_to(found, wanted) => Ok(Operand::concrete(operand.value)),
            (_, found) => {
                let found = found.unwrap_or(Type::Any);
                Err(self.error(format!("wrong type for value; expected {wanted}; got {found}")))
            }
        }
    }

    fn argument(&mut self, source: &Source, dot: &Operand, wanted: Type, id: NodeId) -> Executed<Operand> {
        self.at = id;
        let value = match &source.node(id).kind {
            NodeKind::Dot => dot.clone(),
            NodeKind::Nil if wanted == Type::Reflect => return Ok(Operand::default()),
            NodeKind::Nil if wanted.can_be_nil() => return Ok(Operand::of_type(wanted.nil_value(), wanted)),
            NodeKind::Nil => return Err(self.error(format!("cannot assign nil to {wanted}"))),
            NodeKind::Field(_) => self.field_node(source, dot, id, &[], None)?,
            NodeKind::Variable(_) => self.variable_node(source, dot, id, &[], None)?,
            NodeKind::Pipe(_) => self.pipeline(source, dot, id)?,
            NodeKind::Identifier(name) => {
                self.function(source, dot, id, name, Site { node: id, arguments: &[], last: None })?
            }
            NodeKind::Chain { .. } => self.chain_node(source, dot, id, &[], None)?,
            _ => return self.constant_argument(source, wanted, id),
        };
        self.validate(value, Some(wanted))
    }

    /// A constant for a parameter: numbers fit every type that can hold them.
    fn constant_argument(&mut self, source: &Source, wanted: Type, id: NodeId) -> Executed<Operand> {
        let node = &source.node(id).kind;
        let expected = match wanted {
            Type::Any | Type::Reflect => {
                let constant = self.constant(source, id)?;
                return Ok(Operand { interface: wanted == Type::Any, ..constant });
            }
            Type::Bool => match node {
                NodeKind::Bool(value) => return Ok(Operand::concrete(Value::Bool(*value))),
                _ => "bool",
            },
            Type::String => match node {
                NodeKind::String { text, .. } => return Ok(Operand::concrete(Value::Str(text.clone()))),
                _ => "string",
            },
            Type::Int(kind) => match node {
                NodeKind::Number(Number { int: Some(int), .. }) => {
                    return Ok(Operand::concrete(Value::Int(kind, *int)));
                }
                _ => "integer",
            },
            Type::Uint(kind) => match node {
                NodeKind::Number(Number { uint: Some(uint), .. }) => {
                    let uint = if kind == UintKind::Uint8 { uint & 0xFF } else { *uint };
                    return Ok(Operand::concrete(Value::Uint(kind, uint)));
                }
                _ => "unsigned integer",
            },
            Type::Float64 => match node {
                NodeKind::Number(Number { float: Some(float), .. }) => {
                    return Ok(Operand::concrete(Value::Float(*float)));
                }
                _ => "float",
            },
            _ => {
                let shown = source.describe(id);
                return Err(self.error(format!("can't handle {shown} for arg of type {wanted}")));
            }
        };
        Err(self.error(format!("expected {expected}; found {}", source.describe(id))))
    }
}

/// Whether a value of pointer type may stand for what it points to.
fn is_pointer_to(found: Type, wanted: Type) -> bool {
    match (found, wanted) {
        (Type::Named(found), Type::Named(wanted)) => found.strip_prefix('*') == Some(wanted),
        _ => false,
    }
}

fn not_callable(callee: &Operand, shown: &str) -> String {
    match &callee.value {
        Value::Nil => "call of nil".to_owned(),
        other => format!("non-function {shown} of type {}", other.type_name()),
    }
}

/// What a result costs: its own bytes, not those of the values inside.
fn size_of_value(value: &Value) -> usize {
    match value {
        Value::Str(text) => text.len(),
        Value::List(list) => list.len().saturating_mul(size_of::<Value>()),
        Value::Map(map) => map.len().saturating_mul(2 * size_of::<Value>()),
        _ => 0,
    }
}

/// Whether the function looks at the clock or throws dice, so that one commit gives several texts.
fn is_impure(name: &str) -> bool {
    matches!(
        name,
        "now"
            | "ago"
            | "uuidv4"
            | "shuffle"
            | "randAlphaNum"
            | "randAlpha"
            | "randNumeric"
            | "randAscii"
            | "randBytes"
            | "randInt"
    )
}
