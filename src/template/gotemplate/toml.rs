//! Writes TOML as Helm's `toToml` does.

use super::format::format_float;
use super::guard;
use super::value::{Key, Map, Value};

type Written = Result<(), String>;

/// Writes a map as a document.
pub(super) fn write(value: &Value) -> Result<Vec<u8>, String> {
    let mut writer = Writer { out: Vec::new() };
    match value {
        Value::Map(map) => writer.entries(&[], map)?,
        list if is_table_list(list) => return Err("toml: top-level values must be Go maps or structs".to_owned()),
        other => writer.element(other)?,
    }
    guard::allocate(writer.out.len())?;
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
}

fn is_table(value: &Value) -> bool {
    matches!(value, Value::Map(map) if !map.is_nil())
}

fn is_table_list(value: &Value) -> bool {
    matches!(value, Value::List(list) if !list.is_empty() && list.items().iter().all(is_table))
}

fn texts(map: &Map) -> Result<Vec<(Vec<u8>, Value)>, String> {
    map.entries()
        .into_iter()
        .map(|(key, value)| match key {
            Key::Str(text) => Ok((text.to_vec(), value)),
            _ => Err("toml: cannot encode a map with non-string key type".to_owned()),
        })
        .collect()
}

impl Writer {
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn new_line(&mut self) {
        if !self.out.is_empty() {
            self.out.push(b'\n');
        }
    }

    fn entries(&mut self, path: &[Vec<u8>], map: &Map) -> Written {
        guard::descend()?;
        let (tables, plain): (Vec<_>, Vec<_>) =
            texts(map)?.into_iter().partition(|(_, value)| is_table(value) || is_table_list(value));
        for (key, value) in plain.into_iter().chain(tables).filter(|(_, value)| !value.is_nil()) {
            guard::step(1)?;
            guard::fits(self.out.len())?;
            let path = [path, &[key]].concat();
            let indent = "  ".repeat(path.len() - 1);
            match &value {
                Value::Map(inner) => {
                    if path.len() == 1 {
                        self.new_line();
                    }
                    self.text(&format!("{indent}[{}]\n", dotted(&path)));
                    self.entries(&path, inner)?;
                }
                Value::List(list) if is_table_list(&value) => {
                    for item in list.items() {
                        self.new_line();
                        self.text(&format!("{indent}[[{}]]\n", dotted(&path)));
                        if let Value::Map(inner) = item {
                            self.entries(&path, inner)?;
                        }
                    }
                }
                _ => {
                    let name = path.last().map(|key| quoted_key(key)).unwrap_or_default();
                    self.text(&format!("{indent}{name} = "));
                    self.element(&value)?;
                    self.out.push(b'\n');
                }
            }
        }
        Ok(())
    }

    fn element(&mut self, value: &Value) -> Written {
        guard::descend()?;
        guard::step(1)?;
        guard::fits(self.out.len())?;
        match value {
            Value::Str(text) => self.out.extend(quoted(text)),
            Value::Bool(value) => self.text(&value.to_string()),
            Value::Int(_, number) => self.text(&number.to_string()),
            Value::Uint(_, number) => self.text(&number.to_string()),
            Value::Float(number) => self.text(&float(*number)),
            Value::List(list) => {
                self.out.push(b'[');
                for (index, item) in list.items().iter().enumerate() {
                    if matches!(item, Value::Nil) {
                        return Err("toml: cannot encode array with nil element".to_owned());
                    }
                    if index > 0 {
                        self.text(", ");
                    }
                    self.element(item)?;
                }
                self.out.push(b']');
            }
            Value::Map(map) => self.inline_table(map)?,
            Value::Object(object) => match object.json() {
                Some(text) if object.type_name() == "time.Time" => self.text(text.trim_matches('"')),
                Some(text) => self.text(&text),
                None => return Err(format!("unexpected type: {}", object.type_name())),
            },
            Value::Nil | Value::Complex(..) => return Err(format!("unexpected type: {}", value.type_name())),
        }
        Ok(())
    }

    fn inline_table(&mut self, map: &Map) -> Written {
        self.out.push(b'{');
        let (tables, plain): (Vec<_>, Vec<_>) =
            texts(map)?.into_iter().partition(|(_, value)| is_table(value) || is_table_list(value));
        let count = plain.len() + tables.len();
        for (index, (key, value)) in plain.into_iter().chain(tables).enumerate() {
            if value.is_nil() {
                continue;
            }
            self.text(&format!("{} = ", quoted_key(&key)));
            self.element(&value)?;
            // As in the library that Helm uses, also before values that are left out.
            if index + 1 < count {
                self.text(", ");
            }
        }
        self.out.push(b'}');
        Ok(())
    }
}

fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+inf" } else { "-inf" }.to_owned();
    }
    let text = format_float(number, b'f', None);
    if text.contains('.') { text } else { format!("{text}.0") }
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for &byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            8 => out.extend_from_slice(b"\\b"),
            9 => out.extend_from_slice(b"\\t"),
            10 => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            13 => out.extend_from_slice(b"\\r"),
            0..0x20 | 0x7F => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
    out
}

fn quoted_key(key: &[u8]) -> String {
    let bare = !key.is_empty() && key.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let text = if bare { key.to_vec() } else { quoted(key) };
    String::from_utf8_lossy(&text).into_owned()
}

fn dotted(path: &[Vec<u8>]) -> String {
    path.iter().map(|key| quoted_key(key)).collect::<Vec<_>>().join(".")
}
