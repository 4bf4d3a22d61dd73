//! Values with methods of their own.

use super::kind::Type;
use super::value::Value;

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
