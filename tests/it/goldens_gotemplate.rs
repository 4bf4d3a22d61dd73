//! Go template conformance: `tests/goldens/gotemplate` holds what Go prints for some thousand templates.
//!
//! `STAGER_GOLDENS=DIR` reads another folder of the same layout, `STAGER_GOLDENS_MESSAGES=1` also lists error texts that are
//! worded differently.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use stager::template::gotemplate::{
    Functions, Phase, TemplateError, TemplateSet, Value, builtins, helm, nested, sprig,
};

#[derive(Default)]
struct Tally {
    passed: usize,
    known: usize,
    failed: usize,
    other_wording: usize,
}

fn folder() -> PathBuf {
    let given = std::env::var_os("STAGER_GOLDENS").map(PathBuf::from);
    let given = given.map(|path| if path.join("cases.jsonl").is_file() { path } else { path.join("gotemplate") });
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/gotemplate"))
}

/// Cases that may differ, with the reason: lines of `"id" = "reason"`.
fn differences(folder: &Path) -> BTreeSet<String> {
    let text = fs_err::read_to_string(folder.join("differences.toml")).unwrap_or_default();
    text.lines()
        .filter(|line| line.starts_with('"'))
        .filter_map(|line| line.split('"').nth(1))
        .map(str::to_owned)
        .collect()
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::int(number),
            None => Value::Float(number.as_f64().expect("a number")),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::list(items.iter().map(value).collect()),
        Json::Object(entries) => Value::map(entries.iter().map(|(key, item)| (key.as_str(), value(item)))),
    }
}

fn functions() -> Functions {
    Functions::new().with(builtins()).with(sprig()).with(nested()).with(helm())
}

fn run(case: &Json) -> Result<String, TemplateError> {
    let mut set = TemplateSet::new(functions());
    if let Some(templates) = case["templates"].as_object() {
        let templates: BTreeMap<_, _> = templates.iter().collect();
        for (name, text) in templates {
            set.parse(name, text.as_str().expect("a text"))?;
        }
    }
    set.parse("main", case["text"].as_str().expect("a text"))?;
    set.execute("main", value(&case["data"]))
}

/// What is wrong with the result, if anything; and whether only the wording of an error differs.
fn judge(case: &Json, result: &Result<String, TemplateError>) -> (Option<String>, bool) {
    let wanted = case["error"].as_str();
    match (result, wanted) {
        (Ok(output), None) if Some(output.as_str()) == case["want"].as_str() => (None, false),
        (Ok(output), None) => (Some(format!("want {}\n       got  {output:?}", case["want"])), false),
        (Ok(output), Some(phase)) => {
            (Some(format!("want {phase} error {}\n       got  {output:?}", case["message"])), false)
        }
        (Err(error), None) => (Some(format!("want {}\n       got error {error}", case["want"])), false),
        (Err(error), Some(phase)) => {
            let same_phase = (error.phase == Phase::Parse) == (phase == "parse");
            let message = case["message"].as_str().unwrap_or_default();
            let text = error.to_string();
            let same_text = text == message || message.len() > 1900 && text.starts_with(&message[..1900]);
            ((!same_phase).then(|| format!("want {phase} error\n       got  {error}")), !same_text)
        }
    }
}

#[test]
fn goldens_gotemplate() {
    let folder = folder();
    let Ok(cases) = fs_err::read_to_string(folder.join("cases.jsonl")) else {
        eprintln!("skipped: no gotemplate cases in {}", folder.display());
        return;
    };
    let known = differences(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/gotemplate"));
    let show_wording = std::env::var_os("STAGER_GOLDENS_MESSAGES").is_some();
    let mut groups: BTreeMap<String, Tally> = BTreeMap::new();
    let mut report = String::new();
    for line in cases.lines().filter(|line| !line.is_empty()) {
        let case: Json = serde_json::from_str(line).unwrap();
        let (id, group) = (case["id"].as_str().unwrap(), case["group"].as_str().unwrap());
        let tally = groups.entry(group.to_owned()).or_default();
        let result = run(&case);
        let (fault, other_wording) = judge(&case, &result);
        tally.other_wording += usize::from(other_wording);
        if other_wording && show_wording {
            println!("{id}: {}\n  want {}\n  got  {}", case["text"], case["message"], result.as_ref().unwrap_err());
        }
        match fault {
            None => tally.passed += 1,
            Some(_) if known.contains(id) => tally.known += 1,
            Some(fault) => {
                tally.failed += 1;
                let _ = writeln!(report, "{id}: {} {}\n       {fault}", case["text"], case["data"]);
            }
        }
    }
    println!("{:<22}{:>7}{:>7}{:>7}{:>16}", "group", "passed", "known", "failed", "other wording");
    for (group, tally) in &groups {
        println!("{group:<22}{:>7}{:>7}{:>7}{:>16}", tally.passed, tally.known, tally.failed, tally.other_wording);
    }
    let total = groups.values().fold((0, 0, 0, 0), |sum, tally| {
        (sum.0 + tally.passed, sum.1 + tally.known, sum.2 + tally.failed, sum.3 + tally.other_wording)
    });
    println!("{:<22}{:>7}{:>7}{:>7}{:>16}", "total", total.0, total.1, total.2, total.3);
    assert!(report.is_empty(), "{} cases differ:\n{report}", total.2);
}
