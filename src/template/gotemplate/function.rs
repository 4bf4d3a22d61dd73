//! Functions that templates call: what they take, what they give, and what they do.

use std::collections::HashMap;
use std::sync::Arc;

use super::execute::Run;
use super::text::Str;
use super::value::{List, Map, Operand, Type, Value};

/// What a function gives: a value, or the reason why not.
pub type Outcome = Result<Value, String>;

/// The code of a function that needs nothing but its arguments.
pub(super) type Plain = fn(&mut Call<'_>, &Arguments<'_>) -> Outcome;

/// The code of a function that the host brings.
pub type Hosted = Arc<dyn Fn(&mut Call<'_>, &Arguments<'_>) -> Outcome + Send + Sync>;

#[derive(Clone)]
pub(super) enum Body {
    Plain(Plain),
    Hosted(Hosted),
}

/// A function with the types that Go would check its arguments against.
#[derive(Clone)]
pub struct Function {
    pub(super) name: &'static str,
    pub(super) params: &'static [Type],
    pub(super) variadic: bool,
    pub(super) result: Type,
    pub(super) body: Body,
}

/// A function with a fixed number of parameters.
pub(super) const fn function(name: &'static str, params: &'static [Type], result: Type, body: Plain) -> Function {
    Function { name, params, variadic: false, result, body: Body::Plain(body) }
}

/// A function whose last parameter may be repeated or left out.
pub(super) const fn variadic(name: &'static str, params: &'static [Type], result: Type, body: Plain) -> Function {
    Function { name, params, variadic: true, result, body: Body::Plain(body) }
}

impl Function {
    /// A function of the host.
    pub fn hosted(name: &'static str, params: &'static [Type], variadic: bool, result: Type, body: Hosted) -> Self {
        Self { name, params, variadic, result, body: Body::Hosted(body) }
    }
}

/// Functions by name. Later groups replace functions of earlier ones.
#[derive(Clone, Default)]
pub struct Functions(HashMap<&'static str, Function>);

impl Functions {
    /// No functions, not even Go's own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds functions.
    #[must_use]
    pub fn with(mut self, group: impl IntoIterator<Item = Function>) -> Self {
        self.0.extend(group.into_iter().map(|function| (function.name, function)));
        self
    }

    /// Removes a function.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// The names of the functions.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Function> {
        self.0.get(name)
    }
}

/// What a running function may ask of the template that calls it.
pub struct Call<'a> {
    pub(super) run: &'a Run,
    /// Name of the template that was executed first.
    pub(super) root: Str,
}

/// The arguments of a call; they have the types that the function announced.
pub struct Arguments<'a>(pub(super) &'a [Operand]);

impl Arguments<'_> {
    /// Number of arguments.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An argument; nil where there is none.
    pub fn value(&self, index: usize) -> &Value {
        self.0.get(index).map_or(&Value::Nil, |operand| &operand.value)
    }

    /// The arguments from a number on.
    pub fn rest(&self, index: usize) -> impl ExactSizeIterator<Item = &Value> {
        self.0.get(index..).unwrap_or_default().iter().map(|operand| &operand.value)
    }

    /// All arguments as values of their own.
    pub(super) fn to_vec(&self) -> Vec<Value> {
        self.rest(0).cloned().collect()
    }

    /// An argument of type `string`.
    pub fn text(&self, index: usize) -> &[u8] {
        match self.value(index) {
            Value::Str(text) => text,
            _ => b"",
        }
    }

    /// An argument of type `string`, with what is not UTF-8 replaced.
    pub fn string(&self, index: usize) -> String {
        String::from_utf8_lossy(self.text(index)).into_owned()
    }

    /// An argument of an integer type.
    pub fn int(&self, index: usize) -> i64 {
        match self.value(index) {
            Value::Int(_, number) => *number,
            _ => 0,
        }
    }

    /// An argument of type `bool`.
    pub fn bool(&self, index: usize) -> bool {
        matches!(self.value(index), Value::Bool(true))
    }

    /// An argument of type `float64`.
    pub fn float(&self, index: usize) -> f64 {
        match self.value(index) {
            Value::Float(number) => *number,
            _ => 0.0,
        }
    }

    /// An argument of a map type.
    pub fn map(&self, index: usize) -> Map {
        match self.value(index) {
            Value::Map(map) => map.clone(),
            _ => Map::new(),
        }
    }

    /// An argument of a slice type.
    pub fn list(&self, index: usize) -> List {
        match self.value(index) {
            Value::List(list) => list.clone(),
            _ => List::nil(Type::Any),
        }
    }
}
