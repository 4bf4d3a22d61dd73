//! `WWW-Authenticate`: what a registry asks for.

use ureq::http::HeaderMap;
use ureq::http::header::WWW_AUTHENTICATE;

/// A way to authenticate that we can follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Basic,
    Bearer {
        /// Where tokens are given out.
        realm: String,
        service: Option<String>,
        scope: String,
        /// Why a token was refused, such as `insufficient_scope`.
        error: Option<String>,
    },
}

impl Challenge {
    /// The best challenge of a 401 answer: Bearer before Basic; others are not ours.
    pub(crate) fn choose(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE);
        let mut all: Vec<Self> = values.iter().filter_map(|value| value.to_str().ok()).flat_map(parse).collect();
        let bearer = all.iter().position(|challenge| matches!(challenge, Self::Bearer { .. }));
        (!all.is_empty()).then(|| all.swap_remove(bearer.unwrap_or(0)))
    }

    pub(crate) fn is_insufficient_scope(&self) -> bool {
        matches!(self, Self::Bearer { error: Some(error), .. } if error == "insufficient_scope")
    }
}

/// `scheme name=value, name="quoted \" value", scheme2 …`
fn parse(header: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        match (tail.strip_prefix('='), found.last_mut()) {
            (Some(tail), Some((_, parameters))) => {
                let (value, tail) = take_value(tail);
                parameters.push((word.to_ascii_lowercase(), value));
                rest = tail;
            }
            (Some(_), None) => break,
            (None, _) => {
                found.push((word.to_ascii_lowercase(), Vec::new()));
                rest = tail;
            }
        }
    }
    found.into_iter().filter_map(|(scheme, parameters)| recognise(&scheme, parameters)).collect()
}

fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

fn recognise(scheme: &str, parameters: Vec<(String, String)>) -> Option<Challenge> {
    let value = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: value("realm")?,
            service: value("service"),
            scope: value("scope").unwrap_or_default(),
            error: value("error"),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Challenge::choose(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: &str, error: Option<&str>) -> Challenge {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: own(service), scope: scope.to_owned(), error: own(error) }
    }

    #[test]
    fn challenges_parse() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let expected =
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), "repository:a/b:pull,push", None);
        assert_eq!(choose(&[hub]), Some(expected.clone()));
        assert_eq!(choose(&["Basic realm=\"x, y\"", hub]), Some(expected.clone()));
        assert_eq!(choose(&[&format!("Basic realm=\"x\", {hub}")]), Some(expected));
        assert_eq!(
            choose(&["bearer realm=http://h/t , error=\"a\\\"b\""]),
            Some(bearer("http://h/t", None, "", Some("a\"b")))
        );
        assert_eq!(choose(&["BASIC"]), Some(Challenge::Basic));
        assert_eq!(choose(&["Negotiate", "NTLM abc=="]), None);
        assert_eq!(choose(&["Negotiate abc==, Basic realm=x"]), Some(Challenge::Basic));
        assert_eq!(choose(&[]), None);
        for broken in ["Bearer", "=", "Bearer realm", "Bearer service=\"x", ",,,", "\"", "Bearer realm=\"\\"] {
            let _ = choose(&[broken]);
        }
    }
}
