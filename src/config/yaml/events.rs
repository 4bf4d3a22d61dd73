//! The events of a YAML parser, whichever it is.
//!
//! YAML 1.2 is read by saphyr. YAML 1.1 is read by a port of libyaml, the reader that the programs of those dialects have
//! a port of too: what it lets pass and what it refuses is part of the dialect.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Cursor;

use libyaml_safer::EventData;
use saphyr_parser::ScalarStyle;

/// What a parser met.
#[derive(Debug)]
pub(super) enum Event {
    /// A single value.
    Scalar {
        text: String,
        plain: bool,
        anchor: usize,
        tag: Option<String>,
    },
    /// Another look at an anchor.
    Alias(usize),
    SequenceStart {
        anchor: usize,
        tag: Option<String>,
    },
    MappingStart {
        anchor: usize,
        tag: Option<String>,
    },
    /// A list or map ends.
    End,
    DocumentStart,
    /// Nothing that the tree is made of.
    Other,
}

/// A position: the line from 1, the column in characters from 0.
pub(super) type Position = (usize, usize);

/// From where to where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start: Position,
    pub(super) end: Position,
}

impl Span {
    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// Why a parser went no further.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) at: Position,
    pub(super) reason: String,
}

/// The prefix of the tags that YAML itself defines.
pub(super) const CORE_TAGS: &str = "tag:yaml.org,2002:";

/// The events of a YAML 1.2 text.
pub(super) fn yaml12(text: &str) -> impl Iterator<Item = Result<(Event, Span), SyntaxError>> {
    let position = |marker: &saphyr_parser::Marker| (marker.line(), marker.col());
    saphyr_parser::Parser::new_from_str(text).map(move |event| match event {
        Ok((event, span)) => Ok((of_saphyr(event), Span { start: position(&span.start), end: position(&span.end) })),
        Err(error) => Err(SyntaxError { at: position(error.marker()), reason: error.info().to_owned() }),
    })
}

fn of_saphyr(event: saphyr_parser::Event<'_>) -> Event {
    use saphyr_parser::Event as Theirs;
    let written = |tag: &saphyr_parser::Tag| {
        if tag.is_yaml_core_schema() { format!("{CORE_TAGS}{}", tag.suffix) } else { tag.to_string() }
    };
    match event {
        Theirs::Scalar(text, style, anchor, tag) => Event::Scalar {
            text: text.into_owned(),
            plain: style == ScalarStyle::Plain,
            anchor,
            tag: tag.as_deref().map(written),
        },
        Theirs::Alias(anchor) => Event::Alias(anchor),
        Theirs::SequenceStart(anchor, tag) => Event::SequenceStart { anchor, tag: tag.as_deref().map(written) },
        Theirs::MappingStart(anchor, tag) => Event::MappingStart { anchor, tag: tag.as_deref().map(written) },
        Theirs::SequenceEnd | Theirs::MappingEnd => Event::End,
        Theirs::DocumentStart(_) => Event::DocumentStart,
        _ => Event::Other,
    }
}

/// Reads YAML 1.1 texts one after the other: its buffer is larger than most documents, and costs more than to read one.
pub(super) struct Yaml11Parser<'t>(libyaml_safer::Parser<Input<'t>>);

type Input<'t> = Cursor<Cow<'t, [u8]>>;

impl<'t> Yaml11Parser<'t> {
    pub(super) fn new() -> Self {
        Self(libyaml_safer::Parser::new())
    }

    /// The events of a text.
    pub(super) fn events(&mut self, text: &'t str) -> impl Iterator<Item = Result<(Event, Span), SyntaxError>> {
        self.0.reset();
        self.0.set_encoding(libyaml_safer::Encoding::Utf8);
        let (input, open_end) = readable(text);
        self.0.set_input(Cursor::new(input));
        Yaml11 { parser: &mut self.0, open_end, anchors: HashMap::new(), last: 0, done: false }
    }
}

/// The text as the parser can read it: it panics where a block scalar ends with the text and without a line break, and doesn't
/// always see both characters of a line break of DOS, which YAML takes for a line feed. With the end that was given a line
/// break for that.
fn readable(text: &str) -> (Cow<'_, [u8]>, Option<OpenEnd>) {
    let unix = if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    let is_open = !unix.ends_with('\n') && unix.contains(['|', '>']);
    let open_end = is_open.then(|| OpenEnd {
        length: unix.len() as u64,
        is_blank: unix.rsplit('\n').next().is_some_and(|line| line.trim_matches(' ').is_empty()),
    });
    match (unix, is_open) {
        (unix, true) => (Cow::Owned(format!("{unix}\n").into_bytes()), open_end),
        (Cow::Borrowed(text), false) => (Cow::Borrowed(text.as_bytes()), None),
        (Cow::Owned(text), false) => (Cow::Owned(text.into_bytes()), None),
    }
}

/// The end of a text whose last line had no line break.
struct OpenEnd {
    /// The bytes before it.
    length: u64,
    /// The last line is of spaces only.
    is_blank: bool,
}

impl OpenEnd {
    /// The value of a block scalar that ends there, without the line break that is not in the text.
    fn taken_back(&self, mut value: String) -> String {
        let is_content = !self.is_blank || value.ends_with(" \n");
        if is_content && value.ends_with('\n') {
            value.pop();
        }
        value
    }
}

struct Yaml11<'p, 't> {
    parser: &'p mut libyaml_safer::Parser<Input<'t>>,
    open_end: Option<OpenEnd>,
    /// What each name means at this point.
    anchors: HashMap<String, usize>,
    last: usize,
    done: bool,
}

impl Iterator for Yaml11<'_, '_> {
    type Item = Result<(Event, Span), SyntaxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let event = match self.parser.parse() {
            Ok(event) => event,
            Err(error) => {
                self.done = true;
                return Some(Err(failure(&error)));
            }
        };
        let position = |mark: libyaml_safer::Mark| (mark.line as usize + 1, mark.column as usize);
        let span = Span { start: position(event.start_mark), end: position(event.end_mark) };
        self.done = event.data == EventData::StreamEnd;
        let at_end = self.open_end.as_ref().filter(|end| event.end_mark.index >= end.length);
        let data = match (event.data, at_end) {
            (EventData::Scalar { value, style, anchor, tag, plain_implicit, quoted_implicit }, Some(end))
                if matches!(style, libyaml_safer::ScalarStyle::Literal | libyaml_safer::ScalarStyle::Folded) =>
            {
                let value = end.taken_back(value);
                EventData::Scalar { value, style, anchor, tag, plain_implicit, quoted_implicit }
            }
            (data, _) => data,
        };
        let event = self.event(data);
        self.done |= event.is_err();
        Some(match event {
            Ok(event) => Ok((event, span)),
            Err(reason) => Err(SyntaxError { at: span.start, reason }),
        })
    }
}

impl Yaml11<'_, '_> {
    fn event(&mut self, data: EventData) -> Result<Event, String> {
        Ok(match data {
            EventData::Scalar { anchor, tag, value, style, .. } => Event::Scalar {
                text: value,
                plain: style == libyaml_safer::ScalarStyle::Plain,
                anchor: self.anchor(anchor),
                tag,
            },
            EventData::Alias { anchor } => match self.anchors.get(&anchor) {
                Some(number) => Event::Alias(*number),
                None => return Err(format!("there is no anchor `{anchor}` before this")),
            },
            EventData::SequenceStart { anchor, tag, .. } => Event::SequenceStart { anchor: self.anchor(anchor), tag },
            EventData::MappingStart { anchor, tag, .. } => Event::MappingStart { anchor: self.anchor(anchor), tag },
            EventData::SequenceEnd | EventData::MappingEnd => Event::End,
            EventData::DocumentStart { .. } => Event::DocumentStart,
            EventData::StreamStart { .. } | EventData::StreamEnd | EventData::DocumentEnd { .. } => Event::Other,
        })
    }

    fn anchor(&mut self, name: Option<String>) -> usize {
        let Some(name) = name else { return 0 };
        self.last += 1;
        self.anchors.insert(name, self.last);
        self.last
    }
}

fn failure(error: &libyaml_safer::Error) -> SyntaxError {
    let mark = error.problem_mark().or_else(|| error.context_mark()).unwrap_or_default();
    let reason = match error.context() {
        Some(context) => format!("{context}, {}", error.problem()),
        None => error.problem().to_owned(),
    };
    SyntaxError { at: (mark.line as usize + 1, mark.column as usize), reason }
}
