//! Checksums and random values.
//!
//! Functions that make keys, certificates or password hashes, or that encrypt, are known by name and fail when they run: their
//! results would differ on every render, and with them every stage digest.

use std::fmt::Write as _;

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

use super::super::function::{Arguments, Call, Function, Outcome, function, variadic};
use super::super::guard;
use super::super::value::{Type, Value};
use super::encoding::BASE64;

use Type::{Any, String};
const INT: Type = Type::INT;
const S: Type = Type::String;

pub(super) const FUNCTIONS: &[Function] = &[
    function("sha1sum", &[String], String, |_, a| Ok(checksum(&digest::SHA1_FOR_LEGACY_USE_ONLY, a.text(0)))),
    function("sha256sum", &[String], String, |_, a| Ok(checksum(&digest::SHA256, a.text(0)))),
    function("adler32sum", &[String], String, |_, a| Ok(Value::from(adler32(a.text(0)).to_string()))),
    function("randAlphaNum", &[INT], String, |_, a| {
        random_text(a.int(0), b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
    }),
    function("randAlpha", &[INT], String, |_, a| {
        random_text(a.int(0), b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    }),
    function("randNumeric", &[INT], String, |_, a| random_text(a.int(0), b"0123456789")),
    function("randAscii", &[INT], String, |_, a| random_text(a.int(0), &(b' '..b'\x7F').collect::<Vec<_>>())),
    function("randBytes", &[INT], String, |_, a| Ok(Value::string(BASE64.encode(&random_bytes(a.int(0))?)))),
    function("randInt", &[INT, INT], INT, random_int),
    function("shuffle", &[String], String, shuffle),
    function("uuidv4", &[], String, uuid),
    function("bcrypt", &[S], S, |_, _| unavailable("bcrypt")),
    function("htpasswd", &[S, S], S, |_, _| unavailable("htpasswd")),
    function("derivePassword", &[Type::Uint(super::super::value::UintKind::Uint64), S, S, S, S], S, |_, _| {
        unavailable("derivePassword")
    }),
    function("genPrivateKey", &[S], S, |_, _| unavailable("genPrivateKey")),
    function("buildCustomCert", &[S, S], Any, |_, _| unavailable("buildCustomCert")),
    function("genCA", &[S, INT], Any, |_, _| unavailable("genCA")),
    function("genCAWithKey", &[S, INT, S], Any, |_, _| unavailable("genCAWithKey")),
    variadic("genSelfSignedCert", &[Any], Any, |_, _| unavailable("genSelfSignedCert")),
    variadic("genSelfSignedCertWithKey", &[Any], Any, |_, _| unavailable("genSelfSignedCertWithKey")),
    variadic("genSignedCert", &[Any], Any, |_, _| unavailable("genSignedCert")),
    variadic("genSignedCertWithKey", &[Any], Any, |_, _| unavailable("genSignedCertWithKey")),
    function("encryptAES", &[S, S], S, |_, _| unavailable("encryptAES")),
    function("decryptAES", &[S, S], S, |_, _| unavailable("decryptAES")),
    function("getHostByName", &[S], S, |_, _| unavailable("getHostByName")),
];

fn unavailable(name: &str) -> Outcome {
    Err(format!("stager does not offer {name}: its result would differ from render to render"))
}

fn checksum(algorithm: &'static digest::Algorithm, text: &[u8]) -> Value {
    let mut out = std::string::String::new();
    for byte in digest::digest(algorithm, text).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    Value::from(out)
}

pub(in super::super) fn adler32(text: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    for &byte in text {
        low = (low + u32::from(byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    high << 16 | low
}

fn random_bytes(count: i64) -> Result<Vec<u8>, std::string::String> {
    let count = usize::try_from(count).unwrap_or(0);
    guard::allocate(count)?;
    let mut bytes = vec![0; count];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "no random numbers available")?;
    Ok(bytes)
}

/// A number below `limit`, each equally likely.
fn random_below(limit: u64) -> Result<u64, std::string::String> {
    let unbiased = u64::MAX - u64::MAX % limit.max(1);
    loop {
        let bytes = random_bytes(8)?;
        let number = bytes.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        if number < unbiased {
            return Ok(number % limit.max(1));
        }
    }
}

fn random_text(count: i64, alphabet: &[u8]) -> Outcome {
    let mut out = Vec::new();
    for _ in 0..count {
        guard::step(10)?;
        out.push(alphabet[random_below(alphabet.len() as u64)? as usize]);
    }
    Ok(Value::string(out))
}

fn random_int(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let (low, high) = (arguments.int(0), arguments.int(1));
    match u64::try_from(high.wrapping_sub(low)) {
        Ok(span) if span > 0 => Ok(Value::int(low.wrapping_add(random_below(span)? as i64))),
        _ => Err("invalid argument to Intn".to_owned()),
    }
}

fn shuffle(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let mut characters: Vec<u32> = super::super::text::runes(arguments.text(0)).map(|(rune, _)| rune).collect();
    for index in (1..characters.len()).rev() {
        guard::step(10)?;
        let other = random_below(index as u64 + 1)? as usize;
        characters.swap(index, other);
    }
    let mut out = Vec::new();
    for rune in characters {
        super::super::text::push_rune(&mut out, rune);
    }
    Ok(Value::string(out))
}

fn uuid(_: &mut Call<'_>, _: &Arguments<'_>) -> Outcome {
    let mut bytes = random_bytes(16)?;
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let mut out = std::string::String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    Ok(Value::from(out))
}
