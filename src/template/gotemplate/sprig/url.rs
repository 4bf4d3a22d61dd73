//! `urlParse` and `urlJoin`.

use super::super::function::{Arguments, Call, Function, Outcome, function};
use super::super::value::{Key, Map, Type, Value};
use super::NIL_POINTER;
use super::url_parts::{Url, parse};

pub(super) const FUNCTIONS: &[Function] = &[
    function("urlParse", &[Type::String], Type::MAP, url_parse),
    function("urlJoin", &[Type::MAP], Type::String, url_join),
];

fn url_parse(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let url = parse(arguments.text(0)).map_err(|reason| format!("unable to parse url: {reason}"))?;
    let user_info = url.user_info();
    let host_name = url.host_name().to_vec();
    Ok(Value::map([
        ("scheme", Value::string(url.scheme)),
        ("host", Value::string(url.host)),
        ("hostname", Value::string(host_name)),
        ("path", Value::string(url.path)),
        ("query", Value::string(url.query)),
        ("opaque", Value::string(url.opaque)),
        ("fragment", Value::string(url.fragment)),
        ("userinfo", Value::string(user_info)),
    ]))
}

fn part(map: &Map, name: &str) -> Result<Vec<u8>, String> {
    match map.find(&Key::from(name)) {
        None => Ok(Vec::new()),
        Some(Value::Str(text)) => Ok(text.to_vec()),
        Some(Value::Nil) => Err(NIL_POINTER.to_owned()),
        Some(other) => Err(format!("unable to parse {name} key, must be of type string, but {} found", other.kind())),
    }
}

fn url_join(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let map = arguments.map(0);
    let mut url = Url {
        scheme: part(&map, "scheme")?,
        host: part(&map, "host")?,
        path: part(&map, "path")?,
        query: part(&map, "query")?,
        opaque: part(&map, "opaque")?,
        fragment: part(&map, "fragment")?,
        user: None,
    };
    let user = part(&map, "userinfo")?;
    if !user.is_empty() {
        let text = [b"proto://", user.as_slice(), b"@host"].concat();
        let parsed = parse(&text).map_err(|reason| format!("unable to parse userinfo in dict: {reason}"))?;
        url.user = parsed.user;
    }
    Ok(Value::string(url.to_text()))
}
