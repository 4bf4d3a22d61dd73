//! Go's `text/template` with the functions of Sprig, werf and dapp.
//!
//! [`TemplateSet`] takes texts by name and executes one of them over a [`Value`]. Its functions are those of the groups that
//! it was made with: [`builtins`], [`sprig`], [`nested`] (`include`, `tpl`), [`werf`], [`dapp`]. Results and error texts
//! are Go's, down to the column. Whatever a template could learn of the world outside goes through a [`Host`].
//!
//! Templates are hostile: they run within [`Limits`] of stack, steps and memory, and never panic.
//!
//! The module reads no files and no environment and knows neither git nor giterminism.

#![allow(clippy::float_cmp, clippy::cast_precision_loss, reason = "Go compares and converts numbers exactly like this")]
#![allow(clippy::unnecessary_wraps, reason = "functions of templates share one signature")]
#![allow(clippy::unnecessary_box_returns, reason = "errors are made where results are small")]

mod ast;
mod builtin;
mod collection;
mod compare;
mod equal;
mod error;
mod escape;
mod evaluate;
mod execute;
mod format;
mod function;
mod guard;
mod helm;
mod host;
mod json;
mod kind;
mod lex;
mod nested;
mod number;
mod object;
mod parse;
mod parse_pipeline;
mod quote;
mod set;
mod sprig;
mod text;
mod time;
mod token;
mod toml;
mod value;
mod yaml;

pub use builtin::builtins;
pub use error::{Fault, Phase, TemplateError};
pub use execute::Span;
pub use function::{Arguments, Call, Function, Functions, Hosted, Outcome};
pub use guard::{Exhausted, Limits};
pub use helm::helm;
pub use host::{CommitFacts, Host, dapp, dapp_data, environment, werf, werf_data};
pub use nested::{name_of_text, nested};
pub use set::{Output, TemplateSet};
pub use sprig::sprig;
pub use text::Str;
pub use value::{IntKind, Key, List, Map, Object, Operand, Signature, Type, UintKind, Value};
pub use yaml::yaml_scalar;

#[cfg(test)]
mod tests;
