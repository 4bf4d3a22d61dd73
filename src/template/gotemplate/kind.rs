//! The Go types that values carry.

use std::fmt;

use super::collection::{List, Map};
use super::value::Value;

/// A Go type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `reflect.Value`: a parameter that takes anything and sees whether it was an interface.
    Reflect,
    /// `interface {}`.
    Any,
    /// `bool`.
    Bool,
    /// A signed integer.
    Int(IntKind),
    /// An unsigned integer.
    Uint(UintKind),
    /// `float64`.
    Float64,
    /// `complex128`.
    Complex128,
    /// `string`.
    String,
    /// A slice.
    Slice(&'static Type),
    /// A map: key and element.
    Map(&'static Type, &'static Type),
    /// The type of a host object.
    Named(&'static str),
}

/// Sizes of signed integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntKind {
    /// `int`, 64 bits wide.
    Int,
    /// `int32`, also a rune.
    Int32,
    /// `int64`.
    Int64,
}

/// Sizes of unsigned integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UintKind {
    /// `uint8`, a byte.
    Uint8,
    /// `uint64`.
    Uint64,
}

impl Type {
    /// `int`.
    pub const INT: Self = Self::Int(IntKind::Int);
    /// `int64`.
    pub const INT64: Self = Self::Int(IntKind::Int64);
    /// `uint64`.
    pub const UINT64: Self = Self::Uint(UintKind::Uint64);
    /// `[]interface {}`.
    pub const LIST: Self = Self::Slice(&Self::Any);
    /// `[]string`.
    pub const STRINGS: Self = Self::Slice(&Self::String);
    /// `map[string]interface {}`.
    pub const MAP: Self = Self::Map(&Self::String, &Self::Any);
    /// `map[string]string`.
    pub const STRING_MAP: Self = Self::Map(&Self::String, &Self::String);

    /// Whether `nil` is a value of the type.
    pub(super) fn can_be_nil(self) -> bool {
        match self {
            Self::Any | Self::Reflect | Self::Slice(_) | Self::Map(..) => true,
            Self::Named(name) => name.starts_with('*'),
            _ => false,
        }
    }

    /// The value that a nil argument becomes; only for types that can be nil.
    pub(super) fn nil_value(self) -> Value {
        match self {
            Self::Slice(elem) => Value::List(List::nil(*elem)),
            Self::Map(key, elem) => Value::Map(Map::nil(*key, *elem)),
            _ => Value::Nil,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reflect => formatter.write_str("reflect.Value"),
            Self::Any => formatter.write_str("interface {}"),
            Self::Bool => formatter.write_str("bool"),
            Self::Int(IntKind::Int) => formatter.write_str("int"),
            Self::Int(IntKind::Int32) => formatter.write_str("int32"),
            Self::Int(IntKind::Int64) => formatter.write_str("int64"),
            Self::Uint(UintKind::Uint8) => formatter.write_str("uint8"),
            Self::Uint(UintKind::Uint64) => formatter.write_str("uint64"),
            Self::Float64 => formatter.write_str("float64"),
            Self::Complex128 => formatter.write_str("complex128"),
            Self::String => formatter.write_str("string"),
            Self::Slice(elem) => write!(formatter, "[]{elem}"),
            Self::Map(key, elem) => write!(formatter, "map[{key}]{elem}"),
            Self::Named(name) => formatter.write_str(name),
        }
    }
}
