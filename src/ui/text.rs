//! Values as people read them.

/// A length of time given in milliseconds: `45 ms`, `1.2 s`, `3 min 05 s`.
pub fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{} min {:02} s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
    }
}

/// A number of bytes: `17 B`, `4.2 kB`, `1.3 GB`.
pub fn size(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    for (unit, factor) in units {
        if bytes >= factor {
            return format!("{}.{} {unit}", bytes / factor, bytes % factor * 10 / factor);
        }
    }
    format!("{bytes} B")
}

/// Foreign text without what could steer a terminal. Colours are kept when `colours` says so.
pub fn printable(text: &str, colours: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut coloured = false;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if character == '\u{1b}' {
            let length = escape_length(rest);
            if colours && rest[..length].ends_with('m') {
                out.push_str(&rest[..length]);
                coloured = true;
            }
            rest = &rest[length..];
            continue;
        }
        rest = &rest[character.len_utf8()..];
        if character == '\t' || !character.is_control() {
            out.push(character);
        }
    }
    if coloured {
        out.push_str("\u{1b}[0m");
    }
    out
}

/// The length of the escape sequence that the text starts with.
fn escape_length(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 1 };
    let parameters = rest.bytes().take_while(|byte| (0x20..0x40).contains(byte)).count();
    let last = rest.as_bytes().get(parameters).is_some_and(|byte| (0x40..0x7f).contains(byte));
    2 + parameters + usize::from(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_readable() {
        assert_eq!([duration(45), duration(1_250), duration(185_000)], ["45 ms", "1.2 s", "3 min 05 s"]);
        assert_eq!([size(17), size(4_200), size(1_300_000_000)], ["17 B", "4.2 kB", "1.3 GB"]);
    }

    #[test]
    fn foreign_text_steers_no_terminal() {
        let text = "a\u{1b}[31mred\u{1b}[2J\u{7}\rb\u{1b}]0;title";
        assert_eq!(printable(text, false), "aredb]0;title");
        assert_eq!(printable(text, true), "a\u{1b}[31mredb]0;title\u{1b}[0m");
        assert_eq!(printable("\u{1b}[", false), "");
    }
}
