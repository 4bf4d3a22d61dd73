//! Lists and maps: shared, typed, and dropped without recursion.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::kind::{IntKind, Type, UintKind};
use super::text::Str;
use super::value::Value;

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

    /// The nil map of the given types.
    pub fn nil(key: Type, elem: Type) -> Self {
        Self { key, elem, entries: None }
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
        self.lock()
            .map_or_else(Vec::new, |entries| entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
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
        if let Some(waiting) = graveyard.as_mut() {
            waiting.append(&mut values);
            false
        } else {
            *graveyard = Some(std::mem::take(&mut values));
            true
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
