//! Paths with slashes.

use super::super::function::{Function, function};
use super::super::value::{Type, Value};

use Type::{Bool, String};

pub(super) const FUNCTIONS: &[Function] = &[
    function("base", &[String], String, |_, a| Ok(Value::string(base(a.text(0))))),
    function("osBase", &[String], String, |_, a| Ok(Value::string(base(a.text(0))))),
    function("dir", &[String], String, |_, a| Ok(Value::string(dir(a.text(0))))),
    function("osDir", &[String], String, |_, a| Ok(Value::string(dir(a.text(0))))),
    function("clean", &[String], String, |_, a| Ok(Value::string(clean(a.text(0))))),
    function("osClean", &[String], String, |_, a| Ok(Value::string(clean(a.text(0))))),
    function("ext", &[String], String, |_, a| Ok(Value::string(ext(a.text(0))))),
    function("osExt", &[String], String, |_, a| Ok(Value::string(ext(a.text(0))))),
    function("isAbs", &[String], Bool, |_, a| Ok(Value::Bool(a.text(0).starts_with(b"/")))),
    function("osIsAbs", &[String], Bool, |_, a| Ok(Value::Bool(a.text(0).starts_with(b"/")))),
];

fn base(path: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        return b".".to_vec();
    }
    match path.iter().rposition(|&byte| byte != b'/') {
        None => b"/".to_vec(),
        Some(last) => {
            let path = &path[..=last];
            path.rsplit(|&byte| byte == b'/').next().unwrap_or(path).to_vec()
        }
    }
}

fn dir(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    clean(&path[..end])
}

fn ext(path: &[u8]) -> &[u8] {
    let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    path[start..].iter().rposition(|&byte| byte == b'.').map_or(b"", |dot| &path[start + dot..])
}

/// The shortest path that means the same.
fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => {
                parts.pop();
            }
            b".." if rooted => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join(b"/".as_slice());
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/", joined.as_slice()].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}
