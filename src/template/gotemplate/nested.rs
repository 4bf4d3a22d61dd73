//! Functions that run templates: `include` and `tpl`, as Helm and werf have them.

use std::cell::RefCell;

use super::error::TemplateError;
use super::execute::Run;
use super::function::{Arguments, Call, Function, Outcome, function};
use super::quote::quoted;
use super::text::Str;
use super::value::{Type, Value};
use super::{guard, parse, set};

/// The name under which nested texts are counted.
const TEXT_NAME: &[u8] = b"\xFFtpl";

/// `include NAME DATA` gives the output of a template, `tpl TEXT DATA` that of a text.
pub fn nested() -> Vec<Function> {
    vec![
        function("include", &[Type::String, Type::Any], Type::String, include),
        function("tpl", &[Type::String, Type::Any], Type::String, tpl),
    ]
}

pub(super) fn include(call: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let name = Str::from(arguments.text(0));
    enter(call.run, &name)?;
    let output = call.run.execute(&call.root, &name, arguments.value(1).clone());
    leave(call.run, &name);
    output.map(Value::Str).map_err(|error| told(call.run, *error))
}

/// The text of a nested error, which itself is kept.
fn told(run: &Run, error: TemplateError) -> String {
    let text = error.to_string();
    run.failed.borrow_mut().push(error);
    text
}

/// Counts how deeply a template is nested in itself.
fn enter(run: &Run, name: &Str) -> Result<(), String> {
    let mut included = run.included.borrow_mut();
    let count = included.entry(name.clone()).or_default();
    if *count >= run.limits.include_depth {
        return Err(format!("rendering template has a nested reference name: {name}: unable to execute template"));
    }
    *count += 1;
    Ok(())
}

fn leave(run: &Run, name: &Str) {
    if let Some(count) = run.included.borrow_mut().get_mut(name) {
        *count = count.saturating_sub(1);
    }
}

/// The text becomes the template of the caller's name in a copy of the set: what it defines is gone afterwards.
pub(super) fn tpl(call: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let text = arguments.text(0);
    guard::allocate(text.len())?;
    let functions = std::sync::Arc::clone(&call.run.functions);
    let parsed = parse::parse(&call.root, text, &|function| functions.find(function).is_some())
        .map_err(|error| format!("cannot parse template {}: {error}", quoted(text)))?;
    let mut templates = call.run.templates.borrow().clone();
    templates.remove(&call.root);
    for template in parsed {
        set::add(&mut templates, template);
    }
    let run = Run {
        functions,
        templates: RefCell::new(templates),
        limits: call.run.limits,
        now: call.run.now,
        included: RefCell::new(call.run.included.borrow().clone()),
        failed: RefCell::default(),
        impure: RefCell::default(),
        nested: None,
    };
    // Nested texts are counted like one template, under a name that none can have.
    enter(&run, &Str::from(TEXT_NAME))?;
    run.execute(&call.root, &call.root, arguments.value(1).clone())
        .map(Value::Str)
        .map_err(|error| format!("error during tpl function execution for {}: {error}", quoted(text)))
}

/// The name under which werf's `tpl` knows a text.
pub fn name_of_text(text: &[u8]) -> String {
    format!("tpl-{}", super::sprig::adler32(text))
}

/// werf's `tpl`: the text joins the set under a name made of its checksum, and what it defines stays.
pub(super) fn lasting_tpl(call: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let text = arguments.text(0);
    guard::allocate(text.len())?;
    let name = Str::from(name_of_text(text));
    let run = call.run;
    let parsed = parse::parse(&name, text, &|function| run.functions.find(function).is_some())
        .map_err(|error| told(run, *error))?;
    for template in parsed {
        set::add(&mut run.templates.borrow_mut(), template);
    }
    enter(run, &Str::from(TEXT_NAME))?;
    let output = run.execute(&call.root, &name, arguments.value(1).clone());
    leave(run, &Str::from(TEXT_NAME));
    output.map(Value::Str).map_err(|error| told(run, *error))
}
