//! URLs and hosts: what belongs together, what may be shown, what may be trusted.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;

/// An absolute http or https URL without user information. `Display` leaves out the query, where tokens travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url(Uri);

/// Scheme, host and port: credentials never leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("it is not an http or https URL");
        }
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => Err("it holds user information"),
            Some(authority) if authority.host().is_empty() => Err("it has no host"),
            Some(_) => Ok(Self(uri)),
            None => Err("it has no host"),
        }
    }

    /// Resolves a `Location` or `Link` target against this URL.
    pub(super) fn join(&self, target: &str) -> Result<Self, &'static str> {
        let target = target.split('#').next().unwrap_or_default();
        let base = format!("{}://{}", self.scheme(), self.authority());
        if target.contains("://") && !target.starts_with(['/', '?']) {
            Self::parse(target)
        } else if target.starts_with("//") {
            Self::parse(&format!("{}:{target}", self.scheme()))
        } else if target.starts_with('/') {
            Self::parse(&format!("{base}{target}"))
        } else if target.starts_with('?') {
            Self::parse(&format!("{base}{}{target}", self.0.path()))
        } else {
            let directory = self.0.path().rsplit_once('/').map_or("", |(directory, _)| directory);
            Self::parse(&format!("{base}{directory}/{target}"))
        }
    }

    /// The URL with one more query parameter; the value is encoded.
    pub(super) fn with_query(&self, name: &str, value: &str) -> Self {
        let separator = if self.0.query().is_some() { '&' } else { '?' };
        let text = format!("{}{separator}{name}={}", self.0, encode(value));
        Self::parse(&text).expect("an encoded query keeps a URL valid")
    }

    pub(super) fn has_query(&self, name: &str) -> bool {
        let pairs = self.0.query().unwrap_or_default().split('&');
        pairs.into_iter().any(|pair| pair.split_once('=').is_some_and(|(found, _)| found == name))
    }

    pub(super) fn origin(&self) -> Origin {
        let default = if self.is_https() { 443 } else { 80 };
        Origin {
            scheme: self.scheme().to_owned(),
            host: self.host().to_ascii_lowercase(),
            port: self.0.port_u16().unwrap_or(default),
        }
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme() == "https"
    }

    /// The host without port; an IPv6 address in brackets.
    pub(super) fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    pub(super) fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }

    pub(super) fn as_uri(&self) -> &Uri {
        &self.0
    }

    fn scheme(&self) -> &str {
        self.0.scheme_str().unwrap_or_default()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme(), self.authority(), self.0.path())
    }
}

/// Percent-encodes everything but the characters that need it nowhere in a query value.
pub(super) fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b',' => {
                out.push(byte.into());
            }
            _ => {
                let [high, low] =
                    [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                out.extend(['%', high, low]);
            }
        }
    }
    out
}

/// The host of `host[:port]`, an IPv6 address without its brackets.
pub(super) fn bare_host(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    authority.split(':').next().unwrap_or(authority)
}

/// Whether a name or literal means this machine.
pub(super) fn is_loopback(authority: &str) -> bool {
    let host = bare_host(authority).trim_end_matches('.').to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| to_v4(address).is_loopback())
}

/// Whether a literal address, or `localhost`, is one that no public registry has.
pub(super) fn is_private_literal(authority: &str) -> bool {
    is_loopback(authority) || bare_host(authority).parse().is_ok_and(is_private)
}

/// Loopback, link-local, private and shared ranges, and addresses that are none.
pub(super) fn is_private(address: IpAddr) -> bool {
    match to_v4(address) {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || a == 0
                || v4.is_broadcast()
                || v4.is_multicast()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    }
}

/// An IPv4 address in IPv6 clothes is the IPv4 address.
fn to_v4(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_resolve_as_browsers_do() {
        let base = Url::parse("https://h:1/v2/a/blobs/uploads/?x=1").unwrap();
        let join = |target: &str| base.join(target).map(|url| url.as_uri().to_string());
        assert_eq!(join("/v2/b?s=%3D").unwrap(), "https://h:1/v2/b?s=%3D");
        assert_eq!(join("http://o/p?q=http://z").unwrap(), "http://o/p?q=http://z");
        assert_eq!(join("//o/p").unwrap(), "https://o/p");
        assert_eq!(join("?n=2").unwrap(), "https://h:1/v2/a/blobs/uploads/?n=2");
        assert_eq!(join("uuid#f").unwrap(), "https://h:1/v2/a/blobs/uploads/uuid");
        assert_eq!(join("/v2/b?next=http://z").unwrap(), "https://h:1/v2/b?next=http://z");
        for bad in ["ftp://o/p", "https://user:pw@o/p", "https:///p", "file:///etc/passwd", "http://a b/"] {
            assert!(join(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_and_shown_text() {
        let url = Url::parse("https://H/a?token=secret").unwrap();
        assert_eq!(url.origin(), Url::parse("https://h:443/b").unwrap().origin());
        assert_ne!(url.origin(), Url::parse("http://h:443/b").unwrap().origin());
        assert_eq!(url.to_string(), "https://H/a");
        assert_eq!(
            url.with_query("s", "a b&c").as_uri().to_string(),
            "https://h/a?token=secret&s=a%20b%26c".replace("https://h", "https://H")
        );
    }

    #[test]
    fn private_addresses_are_known() {
        for host in ["localhost:5", "127.9.9.9", "[::1]:5", "a.localhost", "[::ffff:127.0.0.1]", "LOCALHOST."] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["10.0.0.1:5", "169.254.169.254", "[fe80::1]", "[fd00::1]:5", "100.64.0.1", "0.0.0.0", "192.168.1.1"]
        {
            assert!(is_private_literal(host) && !is_loopback(host), "{host}");
        }
        for host in ["8.8.8.8", "example.com", "[2606:4700::1]:5", "localhost.example.com", "127.0.0.1.example.com"] {
            assert!(!is_private_literal(host), "{host}");
        }
    }
}
