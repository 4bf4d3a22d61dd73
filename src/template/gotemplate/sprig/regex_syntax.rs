//! RE2 patterns, as Go reads them, for the `regex` crate.
//!
//! The crate's syntax is wider (Unicode classes behind `\d`, set operations, `x` flag) and misses some forms (`\Q…\E`, octal
//! escapes). The translator accepts what Go accepts, refuses the rest in Go's words, and spells out what would differ.

use std::fmt::Write as _;

/// Repetitions that Go allows.
const MAX_REPEAT: u32 = 1000;
/// Nested groups that Go allows.
const MAX_DEPTH: usize = 1000;

const DIGITS: &str = "0-9";
const WORDS: &str = "0-9A-Za-z_";
const SPACES: &str = r"\t\n\x0C\r ";

/// Translates a pattern. The error is Go's, without `error parsing regexp: `.
pub(super) fn translate(pattern: &[u8]) -> Result<String, String> {
    let Ok(pattern) = std::str::from_utf8(pattern) else {
        return Err(fault("invalid UTF-8", &String::from_utf8_lossy(pattern)));
    };
    let mut translator = Translator {
        pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() + 16),
        depth: 0,
        names: Vec::new(),
        flags: String::new(),
    };
    translator.run()?;
    Ok(translator.out)
}

fn fault(code: &str, part: &str) -> String {
    format!("{code}: `{part}`")
}

struct Translator<'a> {
    pattern: &'a str,
    rest: &'a str,
    out: String,
    depth: usize,
    names: Vec<&'a str>,
    /// Flags that are not written yet: an operator may follow that repeats what stands before them.
    flags: String,
}

type Translated<T> = Result<T, String>;

impl<'a> Translator<'a> {
    fn run(&mut self) -> Translated<()> {
        // Where the last repetition operator starts, if it is the last thing read.
        let mut last_repeat: Option<&'a str> = None;
        // Whether there is something that can be repeated.
        let mut repeatable = false;
        while let Some(character) = self.rest.chars().next() {
            let before = self.rest;
            let mut repeat = None;
            let repeats = matches!(character, '*' | '+' | '?') || character == '{' && counted(before).is_some();
            if !repeats {
                let flags = std::mem::take(&mut self.flags);
                self.out.push_str(&flags);
            }
            match character {
                '(' => {
                    // Flags alone change nothing: what stands before them can still be repeated.
                    repeatable &= self.open()?;
                }
                ')' => {
                    self.depth = self.depth.checked_sub(1).ok_or_else(|| fault("unexpected )", self.pattern))?;
                    self.plain(1);
                    repeatable = true;
                }
                '|' => {
                    self.plain(1);
                    repeatable = false;
                }
                '*' | '+' | '?' => {
                    self.plain(1);
                    repeat = Some(before);
                }
                '{' => {
                    if let Some((length, low, high)) = counted(self.rest) {
                        if low > MAX_REPEAT || high.is_some_and(|high| high > MAX_REPEAT || high < low) {
                            return Err(fault("invalid repeat count", &before[..length]));
                        }
                        self.plain(length);
                        repeat = Some(before);
                    } else {
                        self.out.push_str(r"\{");
                        self.rest = &before[1..];
                        repeatable = true;
                    }
                }
                '[' => {
                    self.class()?;
                    repeatable = true;
                }
                '\\' => {
                    repeatable |= self.escape()?;
                }
                '.' | '^' | '$' => {
                    self.plain(1);
                    repeatable = true;
                }
                _ => {
                    self.literal(character);
                    self.rest = &before[character.len_utf8()..];
                    repeatable = true;
                }
            }
            if let Some(start) = repeat {
                if self.rest.starts_with('?') {
                    self.plain(1);
                }
                if !repeatable {
                    let operator = &start[..start.len() - self.rest.len()];
                    return Err(fault("missing argument to repetition operator", operator));
                }
                if let Some(first) = last_repeat {
                    let both = &first[..first.len() - self.rest.len()];
                    return Err(fault("invalid nested repetition operator", both));
                }
            }
            last_repeat = repeat;
        }
        if self.depth > 0 {
            return Err(fault("missing closing )", self.pattern));
        }
        Ok(())
    }

    /// Copies what has the same meaning in both syntaxes.
    fn plain(&mut self, length: usize) {
        self.out.push_str(&self.rest[..length]);
        self.rest = &self.rest[length..];
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.out.write_fmt(text);
    }

    fn literal(&mut self, character: char) {
        if character.is_alphanumeric() || character == '_' {
            self.out.push(character);
        } else {
            self.push(format_args!("\\x{{{:X}}}", u32::from(character)));
        }
    }

    /// Reads an opening parenthesis and what belongs to it; whether it only sets flags.
    fn open(&mut self) -> Translated<bool> {
        if !self.rest.starts_with("(?") {
            self.plain(1);
            return self.enter().map(|()| false);
        }
        let start = self.rest;
        if start.starts_with("(?P<") || start.starts_with("(?<") {
            return self.named_group().map(|()| false);
        }
        if start.starts_with("(?P=") || start.starts_with("(?P>") {
            return Err(fault("invalid or unsupported Perl syntax", &start[..3]));
        }
        let mut negative = false;
        let mut seen = false;
        let mut flags = String::new();
        for (index, character) in start.char_indices().skip(2) {
            let wrong = || Err(fault("invalid or unsupported Perl syntax", &start[..index + character.len_utf8()]));
            match character {
                'i' | 'm' | 's' | 'U' => seen = true,
                '-' if negative => return wrong(),
                '-' => {
                    negative = true;
                    seen = false;
                }
                ':' | ')' if negative && !seen => return wrong(),
                ':' => {
                    self.push(format_args!("(?{flags}:"));
                    self.rest = &start[index + 1..];
                    return self.enter().map(|()| false);
                }
                ')' => {
                    if !flags.is_empty() {
                        let _ = write!(self.flags, "(?{flags})");
                    }
                    self.rest = &start[index + 1..];
                    return Ok(true);
                }
                _ => return wrong(),
            }
            flags.push(character);
        }
        Err(fault("invalid or unsupported Perl syntax", start))
    }

    fn enter(&mut self) -> Translated<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(fault("expression nests too deeply", self.pattern));
        }
        Ok(())
    }

    fn named_group(&mut self) -> Translated<()> {
        let start = self.rest;
        let prefix = if start.starts_with("(?P<") { 4 } else { 3 };
        let Some(end) = start.find('>') else { return Err(fault("invalid named capture", start)) };
        let name = &start[prefix..end];
        let fine = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !fine {
            return Err(fault("invalid named capture", &start[..=end]));
        }
        // The crate wants each name once, and a letter first.
        if self.names.contains(&name) {
            self.out.push('(');
        } else {
            self.names.push(name);
            self.push(format_args!("(?P<_{name}>"));
        }
        self.rest = &start[end + 1..];
        self.enter()
    }

    /// Reads an escape outside of classes; whether something repeatable came.
    fn escape(&mut self) -> Translated<bool> {
        let start = self.rest;
        let Some(character) = start[1..].chars().next() else {
            return Err(fault("trailing backslash at end of expression", ""));
        };
        let translated = match character {
            'A' => "\\A",
            'z' => "\\z",
            'b' => "(?-u:\\b)",
            'B' => "(?-u:\\B)",
            'C' => return Err(fault("invalid escape sequence", "\\C")),
            'Q' => return Ok(self.quoted()),
            _ => {
                if let Some(class) = self.perl_class()? {
                    self.push(format_args!("[{class}]"));
                } else {
                    let literal = self.escaped_character()?;
                    self.literal(literal);
                }
                return Ok(true);
            }
        };
        self.out.push_str(translated);
        self.rest = &start[2..];
        Ok(true)
    }

    fn quoted(&mut self) -> bool {
        let body = &self.rest[2..];
        let (text, after) = body.split_once("\\E").unwrap_or((body, ""));
        for character in text.chars() {
            self.literal(character);
        }
        self.rest = after;
        !text.is_empty()
    }

    /// Reads `\d` and its kin, and `\p{…}`, as the inside of a class.
    fn perl_class(&mut self) -> Translated<Option<String>> {
        let start = self.rest;
        let letter = start[1..].chars().next().unwrap_or(' ');
        let (members, negated) = match letter {
            'd' | 'D' => (DIGITS, letter == 'D'),
            'w' | 'W' => (WORDS, letter == 'W'),
            's' | 'S' => (SPACES, letter == 'S'),
            'p' | 'P' => return self.unicode_class(letter == 'P').map(Some),
            _ => return Ok(None),
        };
        self.rest = &start[2..];
        Ok(Some(if negated { format!("[^{members}]") } else { members.to_owned() }))
    }

    fn unicode_class(&mut self, negated: bool) -> Translated<String> {
        let start = self.rest;
        let body = &start[2..];
        let (name, length) = match body.chars().next() {
            None => return Err(fault("invalid character class range", start)),
            Some('{') => {
                let end = body.find('}').ok_or_else(|| fault("invalid character class range", start))?;
                (&body[1..end], end + 1)
            }
            Some(character) => (&body[..character.len_utf8()], character.len_utf8()),
        };
        let whole = &start[..2 + length];
        self.rest = &body[length..];
        let (negated, name) = match name.strip_prefix('^') {
            Some(name) => (!negated, name),
            None => (negated, name),
        };
        let sign = if negated { 'P' } else { 'p' };
        if name == "Any" {
            return Ok(if negated { "[^\\x{0}-\\x{10FFFF}]" } else { "\\x{0}-\\x{10FFFF}" }.to_owned());
        }
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let class = format!("\\{sign}{{{name}}}");
        if !plain || regex::Regex::new(&class).is_err() {
            return Err(fault("invalid character class range", whole));
        }
        Ok(class)
    }

    /// Reads the escape of one character.
    fn escaped_character(&mut self) -> Translated<char> {
        let start = self.rest;
        let mut characters = start[1..].chars();
        let Some(character) = characters.next() else {
            return Err(fault("trailing backslash at end of expression", ""));
        };
        let after = characters.as_str();
        let wrong = |length: usize| Err(fault("invalid escape sequence", start.get(..length).unwrap_or(start)));
        let (value, rest) = match character {
            '1'..='7' if !after.starts_with(|next| matches!(next, '0'..='7')) => return wrong(2),
            '0'..='7' => {
                let digits = start[1..].bytes().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                (u32::from_str_radix(&start[1..=digits], 8).unwrap_or(0), &start[1 + digits..])
            }
            'x' => {
                let (digits, rest) = match after.strip_prefix('{') {
                    Some(braced) => match braced.split_once('}') {
                        Some((digits, rest)) => (digits, rest),
                        None => return wrong(start.len()),
                    },
                    None => match after.get(..2) {
                        Some(digits) => (digits, &after[2..]),
                        None => return wrong(start.len()),
                    },
                };
                let hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                match u32::from_str_radix(digits, 16) {
                    Ok(value) if hex => (value, rest),
                    _ => return wrong(start.len() - rest.len()),
                }
            }
            'a' => (7, after),
            'f' => (12, after),
            'n' => (10, after),
            'r' => (13, after),
            't' => (9, after),
            'v' => (11, after),
            _ if character.is_ascii() && !character.is_ascii_alphanumeric() => (u32::from(character), after),
            _ => return wrong(1 + character.len_utf8()),
        };
        let Some(value) = char::from_u32(value) else {
            return wrong(start.len() - rest.len() - usize::from(after.starts_with('{')));
        };
        self.rest = rest;
        Ok(value)
    }

    fn class(&mut self) -> Translated<()> {
        let start = self.rest;
        self.rest = &start[1..];
        self.out.push('[');
        if let Some(rest) = self.rest.strip_prefix('^') {
            self.rest = rest;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            match self.rest.chars().next() {
                None => return Err(fault("missing closing ]", start)),
                Some(']') if !first => break,
                Some('[') if self.rest.starts_with("[:") && self.posix_class()? => {}
                Some(_) => self.class_item(start)?,
            }
            first = false;
        }
        self.plain(1);
        Ok(())
    }

    /// Reads `[:alpha:]` and its kin; false if it is none after all.
    fn posix_class(&mut self) -> Translated<bool> {
        let Some(end) = self.rest[2..].find(":]") else { return Ok(false) };
        let whole = &self.rest[..end + 4];
        let name = &self.rest[2..end + 2];
        let known = matches!(
            name.strip_prefix('^').unwrap_or(name),
            "alnum"
                | "alpha"
                | "ascii"
                | "blank"
                | "cntrl"
                | "digit"
                | "graph"
                | "lower"
                | "print"
                | "punct"
                | "space"
                | "upper"
                | "word"
                | "xdigit"
        );
        if !known {
            return Err(fault("invalid character class range", whole));
        }
        self.plain(whole.len());
        Ok(true)
    }

    fn class_item(&mut self, class: &'a str) -> Translated<()> {
        let start = self.rest;
        if start.starts_with('\\')
            && let Some(members) = self.perl_class()?
        {
            self.out.push_str(&members);
            return Ok(());
        }
        let low = self.class_character(class)?;
        let mut high = low;
        if self.rest.starts_with('-') && self.rest.len() > 1 && !self.rest.starts_with("-]") {
            self.rest = &self.rest[1..];
            high = self.class_character(class)?;
            if high < low {
                return Err(fault("invalid character class range", &start[..start.len() - self.rest.len()]));
            }
        }
        self.push(format_args!("\\x{{{:X}}}-\\x{{{:X}}}", u32::from(low), u32::from(high)));
        Ok(())
    }

    fn class_character(&mut self, class: &'a str) -> Translated<char> {
        match self.rest.chars().next() {
            None => Err(fault("missing closing ]", class)),
            Some('\\') => self.escaped_character(),
            Some(character) => {
                self.rest = &self.rest[character.len_utf8()..];
                Ok(character)
            }
        }
    }
}

/// Reads `{2}`, `{2,}` or `{2,5}`: its length and bounds. Anything else is text.
fn counted(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let end = text.find('}')?;
    let body = &text[1..end];
    let (low, high) = match body.split_once(',') {
        Some((low, high)) => (low, Some(high)),
        None => (body, None),
    };
    let number = |text: &str| {
        let fine = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'));
        fine.then(|| text.parse().unwrap_or(u32::MAX))
    };
    let low = number(low)?;
    let high = match high {
        None => Some(low),
        Some("") => None,
        Some(high) => Some(number(high)?),
    };
    Some((end + 1, low, high))
}
