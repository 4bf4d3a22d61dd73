//! The values that templates work on, with the Go types they would have.
//!
//! Go's templates tell `int` from `int64`, `[]string` from `[]interface {}`, a missing key from a nil one, and an interface from
//! what it holds; all of that shows in results and errors, so values carry their type. Maps are shared and mutable
//! (Sprig's `set`), lists are immutable.

use std::collections::BTreeMap;
use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::guard::Exhausted;
use super::text::Str;

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
    /// The type of an [`Object`].
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
            Self::Slice(elem) => Value::List(List { elem: *elem, items: None }),
            Self::Map(key, elem) => Value::Map(Map { key: *key, elem: *elem, entries: None }),
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
            Self::List(list) => list.items.is_none(),
            Self::Map(map) => map.entries.is_none(),
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

/// A slice: an element type and shared items; nil has no items at all.
#[derive(Clone)]
pub struct List {
    elem: Type,
    items: Option<Arc<Items>>,
}

struct Items(Vec<Value>);

impl Drop for Items {
    fn drop(&mut self) {
        bury(std::mem::take(&mut self.0));
    }
}

impl List {
    /// A list of the given element type.
    pub fn new(elem: Type, items: Vec<Value>) -> Self {
        Self { elem, items: Some(Arc::new(Items(items))) }
    }

    /// The nil list of the given element type.
    pub fn nil(elem: Type) -> Self {
        Self { elem, items: None }
    }

    /// The items.
    pub fn items(&self) -> &[Value] {
        self.items.as_ref().map_or(&[], |items| &items.0)
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.items().is_empty()
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.items().len()
    }

    /// Type of an item.
    pub fn elem(&self) -> Type {
        self.elem
    }

    pub(super) fn is_nil(&self) -> bool {
        self.items.is_none()
    }

    pub(super) fn type_of(&self) -> Type {
        Type::Slice(match self.elem {
            Type::String => &Type::String,
            Type::INT => &Type::INT,
            Type::Slice(&Type::Any) => &Type::LIST,
            Type::Map(&Type::String, &Type::Any) => &Type::MAP,
            _ => &Type::Any,
        })
    }
}

/// A key of a map; ordered as Go prints maps.
#[derive(Debug, Clone)]
pub enum Key {
    /// Nothing; in maps with keys of any type.
    Nil,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(IntKind, i64),
    /// An unsigned integer.
    Uint(UintKind, u64),
    /// A number.
    Float(f64),
    /// Text.
    Str(Str),
}

impl Key {
    /// The key as a value.
    pub fn value(&self) -> Value {
        match self {
            Self::Nil => Value::Nil,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(kind, value) => Value::Int(*kind, *value),
            Self::Uint(kind, value) => Value::Uint(*kind, *value),
            Self::Float(value) => Value::Float(*value),
            Self::Str(value) => Value::Str(value.clone()),
        }
    }

    /// The value as a key, if it can be one.
    pub fn from_value(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Nil => Self::Nil,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(kind, value) => Self::Int(*kind, *value),
            Value::Uint(kind, value) => Self::Uint(*kind, *value),
            Value::Float(value) => Self::Float(*value),
            Value::Str(value) => Self::Str(value.clone()),
            _ => return None,
        })
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Nil => 0,
            Self::Bool(_) => 1,
            Self::Int(..) => 2,
            Self::Uint(..) => 3,
            Self::Float(_) => 4,
            Self::Str(_) => 5,
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(left), Self::Bool(right)) => left.cmp(right),
            (Self::Int(kind, left), Self::Int(other_kind, right)) => left.cmp(right).then(kind.cmp(other_kind)),
            (Self::Uint(kind, left), Self::Uint(other_kind, right)) => left.cmp(right).then(kind.cmp(other_kind)),
            (Self::Float(left), Self::Float(right)) => left.total_cmp(right),
            (Self::Str(left), Self::Str(right)) => left.cmp(right),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl From<&str> for Key {
    fn from(value: &str) -> Self {
        Self::Str(value.into())
    }
}

/// A map: types of key and element, and shared entries; nil has no entries at all.
#[derive(Clone)]
pub struct Map {
    key: Type,
    elem: Type,
    entries: Option<Arc<Entries>>,
}

struct Entries(Mutex<BTreeMap<Key, Value>>);

impl Drop for Entries {
    fn drop(&mut self) {
        let entries = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        bury(std::mem::take(entries).into_values().collect());
    }
}

impl Default for Map {
    fn default() -> Self {
        Self::new()
    }
}

impl Map {
    /// An empty `map[string]interface {}`.
    pub fn new() -> Self {
        Self::with_types(Type::String, Type::Any)
    }

    /// An empty map of the given types.
    pub fn with_types(key: Type, elem: Type) -> Self {
        Self { key, elem, entries: Some(Arc::new(Entries(Mutex::new(BTreeMap::new())))) }
    }

    fn lock(&self) -> Option<MutexGuard<'_, BTreeMap<Key, Value>>> {
        Some(self.entries.as_ref()?.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The value of a key.
    pub fn find(&self, key: &Key) -> Option<Value> {
        self.lock()?.get(key).cloned()
    }

    /// Sets a key; false if the map is nil, which cannot hold anything.
    pub fn insert(&self, key: Key, value: Value) -> bool {
        let Some(mut entries) = self.lock() else { return false };
        let old = entries.insert(key, value);
        drop(entries);
        drop(old);
        true
    }

    /// Removes a key.
    pub fn remove(&self, key: &Key) {
        let old = self.lock().and_then(|mut entries| entries.remove(key));
        drop(old);
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.lock().map_or(0, |entries| entries.len())
    }

    /// The entries as they are now, in order of their keys.
    pub fn entries(&self) -> Vec<(Key, Value)> {
        self.lock().map_or_else(Vec::new, |entries| entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Type of a key.
    pub fn key(&self) -> Type {
        self.key
    }

    /// Type of an element.
    pub fn elem(&self) -> Type {
        self.elem
    }

    pub(super) fn is_nil(&self) -> bool {
        self.entries.is_none()
    }

    /// Whether both are one map.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.entries, &other.entries) {
            (Some(left), Some(right)) => Arc::ptr_eq(left, right),
            (None, None) => true,
            _ => false,
        }
    }

    pub(super) fn type_of(&self) -> Type {
        match (self.key, self.elem) {
            (Type::String, Type::String) => Type::STRING_MAP,
            (Type::Any, _) => Type::Map(&Type::Any, &Type::Any),
            _ => Type::MAP,
        }
    }
}

thread_local! {
    static GRAVEYARD: std::cell::RefCell<Option<Vec<Value>>> = const { std::cell::RefCell::new(None) };
}

/// Drops values without recursion: a list of a list of … may be deeper than any stack.
fn bury(mut values: Vec<Value>) {
    values.retain(|value| matches!(value, Value::List(_) | Value::Map(_)));
    if values.is_empty() {
        return;
    }
    let first = GRAVEYARD.try_with(|graveyard| {
        let mut graveyard = graveyard.borrow_mut();
        match graveyard.as_mut() {
            Some(waiting) => {
                waiting.append(&mut values);
                false
            }
            None => {
                *graveyard = Some(std::mem::take(&mut values));
                true
            }
        }
    });
    while first == Ok(true) {
        let next = GRAVEYARD.with(|graveyard| graveyard.borrow_mut().as_mut().and_then(Vec::pop));
        match next {
            Some(value) => drop(value),
            None => break,
        }
    }
    if first == Ok(true) {
        GRAVEYARD.with(|graveyard| *graveyard.borrow_mut() = None);
    }
}

/// A method's parameters and result.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    /// Types of the parameters.
    pub params: &'static [Type],
    /// Whether the last parameter may be repeated.
    pub variadic: bool,
    /// Type of the result.
    pub result: Type,
}

/// A value with methods and fields of its own: what the host offers (`.Files`), versions, times.
pub trait Object: Send + Sync {
    /// The Go type, such as `time.Time`.
    fn type_name(&self) -> &'static str;

    /// The kind, such as `struct`, `ptr` or `int64`.
    fn kind(&self) -> &'static str {
        "struct"
    }

    /// The value of a named basic type.
    fn underlying(&self) -> Option<Value> {
        None
    }

    /// The parameters of a method, if there is one of that name.
    fn method(&self, name: &str) -> Option<Signature>;

    /// Calls a method that [`Object::method`] knows, with arguments of the announced types.
    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String>;

    /// A field; the error says why it cannot be read.
    fn field(&self, _name: &str) -> Option<Result<Value, String>> {
        None
    }

    /// The fields in order, for printing.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// What `String()` or `Error()` gives, if the type has such a method.
    fn display(&self) -> Option<String> {
        None
    }

    /// The object as JSON text, if it writes itself.
    fn json(&self) -> Option<String> {
        None
    }

    /// What `deepCopy` makes of the object; nothing if the object itself will do.
    fn copied(&self) -> Option<Value> {
        None
    }

    /// Whether two objects of one type are equal.
    fn equals(&self, _other: &dyn Object) -> bool {
        false
    }

    /// For those who know the type.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// Equality as `reflect.DeepEqual` has it: types count, nil lists differ from empty ones, NaN from itself.
pub(super) fn deep_equal(left: &Value, right: &Value) -> Result<bool, Exhausted> {
    super::guard::descend()?;
    super::guard::step(1)?;
    Ok(match (left, right) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Int(kind, left), Value::Int(other, right)) => kind == other && left == right,
        (Value::Uint(kind, left), Value::Uint(other, right)) => kind == other && left == right,
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Complex(left, left_i), Value::Complex(right, right_i)) => left == right && left_i == right_i,
        (Value::Str(left), Value::Str(right)) => left == right,
        (Value::List(left), Value::List(right)) => return deep_equal_lists(left, right),
        (Value::Map(left), Value::Map(right)) => return deep_equal_maps(left, right),
        (Value::Object(left), Value::Object(right)) => {
            left.type_name() == right.type_name() && left.equals(right.as_ref())
        }
        _ => false,
    })
}

fn deep_equal_lists(left: &List, right: &List) -> Result<bool, Exhausted> {
    if left.elem != right.elem || left.is_nil() != right.is_nil() || left.len() != right.len() {
        return Ok(false);
    }
    for (left, right) in left.items().iter().zip(right.items()) {
        if !deep_equal(left, right)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn deep_equal_maps(left: &Map, right: &Map) -> Result<bool, Exhausted> {
    if left.type_of() != right.type_of() || left.is_nil() != right.is_nil() || left.len() != right.len() {
        return Ok(false);
    }
    if left.is_same(right) {
        return Ok(true);
    }
    for (key, value) in left.entries() {
        match right.find(&key) {
            Some(other) if deep_equal(&value, &other)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}
