//! URLs taken apart and put together, by the rules of Go's `net/url`.

use super::super::quote::quoted;
use super::super::text::find;

/// The parts of a URL, decoded.
#[derive(Debug, Default)]
pub(super) struct Url {
    pub(super) scheme: Vec<u8>,
    pub(super) opaque: Vec<u8>,
    /// User name, and password if there is one.
    pub(super) user: Option<(Vec<u8>, Option<Vec<u8>>)>,
    pub(super) host: Vec<u8>,
    pub(super) path: Vec<u8>,
    pub(super) query: Vec<u8>,
    pub(super) fragment: Vec<u8>,
}

/// The part of a URL that a text is for; each has its own characters that need no escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Host,
    Zone,
    User,
    Fragment,
}

fn is_plain(byte: u8, part: Part) -> bool {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        return true;
    }
    match part {
        Part::Host | Part::Zone => b"!$&'()*+,;=:[]<>\"".contains(&byte),
        Part::Path => b"$&+,/:;=@".contains(&byte),
        Part::User => b"$&+,;=".contains(&byte),
        Part::Fragment => b"$&+,/:;=?@!()*".contains(&byte),
    }
}

fn escape(text: &[u8], part: Part) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if is_plain(byte, part) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

fn unescape(text: &[u8], part: Part) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut position = 0;
    let hex = |at: usize| text.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    while let Some(&byte) = text.get(position) {
        if byte != b'%' {
            if matches!(part, Part::Host | Part::Zone) && byte < 0x80 && !is_plain(byte, part) {
                return Err(format!("invalid character {} in host name", quoted(&[byte])));
            }
            out.push(byte);
            position += 1;
            continue;
        }
        let end = text.len().min(position + 3);
        let wrong = || format!("invalid URL escape {}", quoted(&text[position..end]));
        let (Some(high), Some(low)) = (hex(position + 1), hex(position + 2)) else { return Err(wrong()) };
        let code = (high << 4 | low) as u8;
        let percent = code == b'%';
        if part == Part::Host && high < 8 && !percent
            || part == Part::Zone && !percent && code != b' ' && !is_plain(code, Part::Host)
        {
            return Err(wrong());
        }
        out.push(code);
        position += 3;
    }
    Ok(out)
}

fn cut(text: &[u8], mark: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(mark, text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// Takes a URL apart.
pub(super) fn parse(text: &[u8]) -> Result<Url, String> {
    let (body, fragment) = cut(text, b'#');
    let failed = |url: &[u8], reason: String| format!("parse {}: {reason}", quoted(url));
    let mut url = parse_body(body).map_err(|reason| failed(body, reason))?;
    url.fragment = unescape(fragment.unwrap_or_default(), Part::Fragment).map_err(|reason| failed(text, reason))?;
    Ok(url)
}

fn parse_body(text: &[u8]) -> Result<Url, String> {
    let mut url = Url::default();
    if text.iter().any(|&byte| byte < b' ' || byte == 0x7F) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text == b"*" {
        url.path = text.to_vec();
        return Ok(url);
    }
    let (scheme, rest) = split_scheme(text)?;
    url.scheme = scheme.to_ascii_lowercase();
    let (mut rest, query) = cut(rest, b'?');
    url.query = query.unwrap_or_default().to_vec();
    if !rest.starts_with(b"/") {
        if !url.scheme.is_empty() {
            url.opaque = rest.to_vec();
            return Ok(url);
        }
        if cut(rest, b'/').0.contains(&b':') {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    if rest.starts_with(b"//") && !(url.scheme.is_empty() && rest.starts_with(b"///")) {
        let authority = &rest[2..];
        let end = memchr::memchr(b'/', authority).unwrap_or(authority.len());
        rest = &authority[end..];
        parse_authority(&mut url, &authority[..end])?;
    }
    url.path = unescape(rest, Part::Path)?;
    Ok(url)
}

fn split_scheme(text: &[u8]) -> Result<(&[u8], &[u8]), String> {
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' if index == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Ok((b"", text))
}

fn parse_authority(url: &mut Url, authority: &[u8]) -> Result<(), String> {
    let Some(at) = memchr::memrchr(b'@', authority) else {
        url.host = parse_host(authority)?;
        return Ok(());
    };
    url.host = parse_host(&authority[at + 1..])?;
    let user = &authority[..at];
    if !user.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte)) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    let (name, password) = cut(user, b':');
    let password = password.map(|password| unescape(password, Part::User)).transpose()?;
    url.user = Some((unescape(name, Part::User)?, password));
    Ok(())
}

fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn parse_host(host: &[u8]) -> Result<Vec<u8>, String> {
    let check_port = |port: &[u8]| {
        if is_port(port) { Ok(()) } else { Err(format!("invalid port {} after host", quoted(port))) }
    };
    match memchr::memrchr(b'[', host) {
        Some(0) => {
            let close = memchr::memrchr(b']', host).ok_or("missing ']' in host")?;
            let port = &host[close + 1..];
            check_port(port)?;
            let port = unescape(port, Part::Host)?;
            let address = &host[1..close];
            let zone = find(address, b"%25").unwrap_or(address.len());
            let mut plain = unescape(&address[..zone], Part::Host)?;
            let bare = String::from_utf8_lossy(&plain).into_owned();
            plain.extend(unescape(&address[zone..], Part::Zone)?);
            if bare.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(match bare.parse::<std::net::Ipv4Addr>() {
                    Ok(_) => "invalid IP-literal".to_owned(),
                    Err(_) => format!("invalid host: ParseAddr({}): unable to parse IP", quoted(&plain)),
                });
            }
            return Ok([b"[", plain.as_slice(), b"]", &port].concat());
        }
        Some(_) => return Err("invalid IP-literal".to_owned()),
        None => {}
    }
    // Some databases write several hosts with ports. Go has become stricter for web addresses, but only for programs that
    // ask for it; werf is older.
    let colon = memchr::memrchr(b':', host);
    if let Some(colon) = colon {
        check_port(&host[colon..])?;
    }
    unescape(host, Part::Host)
}

impl Url {
    /// The host without its port.
    pub(super) fn host_name(&self) -> &[u8] {
        let host = match memchr::memrchr(b':', &self.host) {
            Some(colon) if is_port(&self.host[colon..]) => &self.host[..colon],
            _ => &self.host,
        };
        host.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]")).unwrap_or(host)
    }

    /// User name and password as they stand in a URL.
    pub(super) fn user_info(&self) -> Vec<u8> {
        match &self.user {
            None => Vec::new(),
            Some((name, None)) => escape(name, Part::User),
            Some((name, Some(password))) => [escape(name, Part::User), escape(password, Part::User)].join(&b':'),
        }
    }

    /// The URL as text.
    pub(super) fn to_text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.scheme.is_empty() {
            out.extend_from_slice(&self.scheme);
            out.push(b':');
        }
        if self.opaque.is_empty() {
            self.write_hierarchy(&mut out);
        } else {
            out.extend_from_slice(&self.opaque);
        }
        if !self.query.is_empty() {
            out.push(b'?');
            out.extend_from_slice(&self.query);
        }
        if !self.fragment.is_empty() {
            out.push(b'#');
            out.extend(escape(&self.fragment, Part::Fragment));
        }
        out
    }

    fn write_hierarchy(&self, out: &mut Vec<u8>) {
        let has_authority = !self.host.is_empty() || self.user.is_some();
        if has_authority || !self.scheme.is_empty() && !self.path.is_empty() {
            out.extend_from_slice(b"//");
        }
        if self.user.is_some() {
            out.extend(self.user_info());
            out.push(b'@');
        }
        out.extend(escape(&self.host, Part::Host));
        let path = if self.path == b"*" { self.path.clone() } else { escape(&self.path, Part::Path) };
        if !path.is_empty() && !path.starts_with(b"/") && !self.host.is_empty() {
            out.push(b'/');
        }
        if out.is_empty() && cut(&path, b'/').0.contains(&b':') {
            // Not to be mistaken for a scheme.
            out.extend_from_slice(b"./");
        }
        out.extend(path);
    }
}
