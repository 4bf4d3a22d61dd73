//! The values that templates work on, with the Go types they would have.
//!
//! Go's templates tell `int` from `int64`, `[]string` from `[]interface {}`, a missing key from a nil one, and an interface from
//! what it holds; all of that shows in results and errors, so values carry their type. Maps are shared and mutable
//! (Sprig's `set`), lists are immutable.

use std::fmt;
use std::sync::Arc;

use super::text::Str;

pub use super::collection::{Key, List, Map};
pub(super) use super::equal::deep_equal;
pub use super::kind::{IntKind, Type, UintKind};
pub use super::object::{Object, Signature};

/// A value. [`Value::Nil`] is "nothing": a nil interface or a key that is missing.
#[derive(Clone, Default)]
pub enum Value {
    /// Nothing.
    #[default]
    Nil,
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(IntKind, i64),
    /// An unsigned integer.
    Uint(UintKind, u64),
    /// A `float64`.
    Float(f64),
    /// A `complex128`.
    Complex(f64, f64),
    /// A string.
    Str(Str),
    /// A slice.
    List(List),
    /// A map.
    Map(Map),
    /// Anything with methods or fields of its own.
    Object(Arc<dyn Object>),
}

impl Value {
    /// An `int`.
    pub fn int(value: i64) -> Self {
        Self::Int(IntKind::Int, value)
    }

    /// An `int64`.
    pub fn int64(value: i64) -> Self {
        Self::Int(IntKind::Int64, value)
    }

    /// A string.
    pub fn string(value: impl Into<Str>) -> Self {
        Self::Str(value.into())
    }

    /// An object.
    pub fn object(value: impl Object + 'static) -> Self {
        Self::Object(Arc::new(value))
    }

    /// A `[]interface {}`.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List::new(Type::Any, items))
    }

    /// A `[]string`.
    pub fn strings<S: Into<Str>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::List(List::new(Type::String, items.into_iter().map(Self::string).collect()))
    }

    /// A `map[string]interface {}`.
    pub fn map<K: Into<Str>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        let map = Map::new();
        for (key, value) in entries {
            map.insert(Key::Str(key.into()), value);
        }
        Self::Map(map)
    }

    /// The type of the value; nothing has none.
    pub fn type_of(&self) -> Option<Type> {
        Some(match self {
            Self::Nil => return None,
            Self::Bool(_) => Type::Bool,
            Self::Int(kind, _) => Type::Int(*kind),
            Self::Uint(kind, _) => Type::Uint(*kind),
            Self::Float(_) => Type::Float64,
            Self::Complex(..) => Type::Complex128,
            Self::Str(_) => Type::String,
            Self::List(list) => list.type_of(),
            Self::Map(map) => map.type_of(),
            Self::Object(object) => Type::Named(object.type_name()),
        })
    }

    /// The name of the type as `%T` prints it.
    pub fn type_name(&self) -> String {
        self.type_of().map_or_else(|| "<nil>".to_owned(), |kind| kind.to_string())
    }

    /// The name of the kind as `reflect.Kind` prints it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(IntKind::Int, _) => "int",
            Self::Int(IntKind::Int32, _) => "int32",
            Self::Int(IntKind::Int64, _) => "int64",
            Self::Uint(UintKind::Uint8, _) => "uint8",
            Self::Uint(UintKind::Uint64, _) => "uint64",
            Self::Float(_) => "float64",
            Self::Complex(..) => "complex128",
            Self::Str(_) => "string",
            Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Object(object) => object.kind(),
        }
    }

    /// The value under a named basic type (`time.Month` is an `int`), else the value itself.
    pub(super) fn underlying(&self) -> Self {
        match self {
            Self::Object(object) => object.underlying().unwrap_or_else(|| self.clone()),
            _ => self.clone(),
        }
    }

    /// Truth as `if` sees it: the zero value of a type and everything empty is false.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(_, value) => *value != 0,
            Self::Uint(_, value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Self::Str(value) => !value.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Object(object) => object.underlying().is_none_or(|value| value.truth()),
        }
    }

    /// Whether the value is nothing, a nil list or a nil map.
    pub(super) fn is_nil(&self) -> bool {
        match self {
            Self::Nil => true,
            Self::List(list) => list.is_nil(),
            Self::Map(map) => map.is_nil(),
            _ => false,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => formatter.write_str("nil"),
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Int(_, value) => write!(formatter, "{value}"),
            Self::Uint(_, value) => write!(formatter, "{value}"),
            Self::Float(value) => write!(formatter, "{value:?}"),
            Self::Complex(real, imaginary) => write!(formatter, "({real}{imaginary:+}i)"),
            Self::Str(value) => write!(formatter, "{value:?}"),
            // Not the content: a map may hold itself.
            Self::List(list) => write!(formatter, "{}[{}]", list.type_of(), list.len()),
            Self::Map(map) => write!(formatter, "{}[{}]", map.type_of(), map.len()),
            Self::Object(object) => formatter.write_str(object.type_name()),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::string(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::string(value)
    }
}

/// A value on its way through the executor: whether it is seen through an interface decides how nil behaves.
#[derive(Debug, Clone, Default)]
pub struct Operand {
    pub(super) value: Value,
    pub(super) interface: bool,
}

impl Operand {
    pub(super) fn concrete(value: Value) -> Self {
        Self { value, interface: false }
    }

    /// A value read from a place of the given type.
    pub(super) fn of_type(value: Value, place: Type) -> Self {
        Self { value, interface: place == Type::Any }
    }

    /// What Go's zero `reflect.Value` is.
    pub(super) fn is_invalid(&self) -> bool {
        matches!(self.value, Value::Nil) && !self.interface
    }

    pub(super) fn type_name(&self) -> String {
        if self.interface { Type::Any.to_string() } else { self.value.type_name() }
    }
}
