//! Functions that run templates: `include` and `tpl`, as Helm and werf have them.

use std::cell::RefCell;

use super::execute::Run;
use super::function::{Arguments, Call, Function, Outcome, function};
use super::quote::quoted;
use super::text::Str;
use super::value::{Type, Value};
use super::{parse, set};

/// `include NAME DATA` gives the output of a template, `tpl TEXT DATA` that of a text.
pub fn nested() -> Vec<Function> {
    vec![
        function("include", &[Type::String, Type::Any], Type::String, include),
        function("tpl", &[Type::String, Type::Any], Type::String, tpl),
    ]
}

pub(super) fn include(call: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let name = Str::from(arguments.text(0));
    let limit = call.run.limits.include_depth;
    let depth = {
        let mut included = call.run.included.borrow_mut();
        let count = included.entry(name.clone()).or_default();
        *count += 1;
        *count
    };
    if depth > limit {
        return Err(format!(
            "rendering template has a nested reference name: {name}: unable to execute template"
        ));
    }
    let output = call.run.execute(&call.root, &name, arguments.value(1).clone());
    if let Some(count) = call.run.included.borrow_mut().get_mut(&name) {
        *count -= 1;
    }
    output.map(Value::string).map_err(|error| error.to_string())
}

/// The text becomes the template of the caller's name in a copy of the set: what it defines is gone afterwards.
pub(super) fn tpl(call: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let text = arguments.text(0);
    let functions = std::sync::Arc::clone(&call.run.functions);
    let parsed = parse::parse(&call.root, text, &|function| functions.find(function).is_some())
        .map_err(|error| format!("cannot parse template {}: {error}", quoted(text)))?;
    let mut templates = call.run.templates.clone();
    templates.remove(&call.root);
    for template in parsed {
        set::add(&mut templates, template);
    }
    let run = Run {
        functions,
        templates,
        limits: call.run.limits,
        now: call.run.now,
        included: RefCell::new(call.run.included.borrow().clone()),
    };
    run.execute(&call.root, &call.root, arguments.value(1).clone()).map(Value::string).map_err(|error| {
        format!("error during tpl function execution for {}: {error}", quoted(text))
    })
}
