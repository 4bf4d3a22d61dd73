//! Texts without what differs from run to run.

use super::TestEnv;

/// The text with digests, durations, sizes of time and temporary paths replaced by placeholders.
pub(crate) fn normalized(env: &TestEnv, text: &str) -> String {
    let root = env.root().to_str().expect("test paths are UTF-8");
    let text = text.replace(root, "<tmp>");
    let mut result = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let boundary = !result.ends_with(|last: char| last.is_ascii_alphanumeric());
        if let Some((placeholder, length)) = Some(rest).filter(|_| boundary).and_then(placeholder) {
            result.push_str(placeholder);
            rest = &rest[length..];
        } else {
            result.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    result
}

/// What the start of the text is replaced by, and how much of it.
fn placeholder(text: &str) -> Option<(&'static str, usize)> {
    let word = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let is_hex = text[..word].bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
    match word {
        64 if is_hex => return Some(("<digest>", word)),
        40 if is_hex => return Some(("<commit>", word)),
        _ => {}
    }
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = text[number..].trim_start_matches(' ');
    let start = text.len() - unit.len();
    let length = unit.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit.len());
    let is_time = matches!(&unit[..length], "ms" | "s" | "µs" | "us");
    (number > 0 && is_time).then_some(("<time>", start + length))
}

#[test]
fn what_differs_between_runs_is_replaced() {
    let env = TestEnv::new();
    let text = format!("built {} in 12.5 ms (0.1s) at {}/x, 3 files", "0a".repeat(32), env.root().display());
    assert_eq!(normalized(&env, &text), "built <digest> in <time> (<time>) at <tmp>/x, 3 files");
}
