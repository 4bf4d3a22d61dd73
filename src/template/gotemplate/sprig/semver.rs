//! Semantic versions and constraints on them, by the rules of Masterminds' library (v3.3).

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::super::function::{Arguments, Call, Function, Outcome, function};
use super::super::value::{Object, Signature, Type, Value};

const VERSION: Type = Type::Named("*semver.Version");

pub(super) const FUNCTIONS: &[Function] = &[
    function("semver", &[Type::String], VERSION, |_, a| Ok(Value::object(Version::parse(&a.string(0))?.pointer()))),
    function("semverCompare", &[Type::String, Type::String], Type::Bool, compare),
];

/// A version, and whether it is seen through a pointer, as Go has most of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    prerelease: String,
    metadata: String,
    original: String,
    is_pointer: bool,
}

static VERSION_TEXT: LazyLock<Regex> = LazyLock::new(|| {
    let identifier = r"(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)";
    Regex::new(&format!(
        r"^v?(0|[1-9][0-9]*)(?:\.(0|[1-9][0-9]*))?(?:\.(0|[1-9][0-9]*))?(?:-({identifier}(?:\.{identifier})*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$"
    ))
    .expect("a constant pattern")
});

impl Version {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = VERSION_TEXT.captures(text).ok_or("Invalid Semantic Version")?;
        let mut numbers = [0; 3];
        for (index, number) in numbers.iter_mut().enumerate() {
            let digits = group(&parts, index + 1);
            if !digits.is_empty() {
                *number = digits.parse().map_err(|_| {
                    let shown = super::super::quote::quoted(digits.as_bytes());
                    format!("Error parsing version segment: strconv.ParseUint: parsing {shown}: value out of range")
                })?;
            }
        }
        Ok(Self {
            numbers,
            prerelease: group(&parts, 4).to_owned(),
            metadata: group(&parts, 5).to_owned(),
            original: text.to_owned(),
            is_pointer: false,
        })
    }

    fn pointer(self) -> Self {
        Self { is_pointer: true, ..self }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let empty = |version: &Self| version.prerelease.is_empty();
        self.numbers.cmp(&other.numbers).then_with(|| match (empty(self), empty(other)) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_prereleases(&self.prerelease, &other.prerelease),
        })
    }

    fn text(&self) -> String {
        let [major, minor, patch] = self.numbers;
        let mut text = format!("{major}.{minor}.{patch}");
        for (mark, part) in [('-', &self.prerelease), ('+', &self.metadata)] {
            if !part.is_empty() {
                text.push(mark);
                text.push_str(part);
            }
        }
        text
    }

    /// The next version; counting up the patch of a pre-release only ends it.
    fn next(&self, part: usize) -> Value {
        let mut numbers = self.numbers;
        if part < 2 || self.prerelease.is_empty() {
            numbers[part] = numbers[part].wrapping_add(1);
            numbers[part + 1..].fill(0);
        }
        let mut next = Self { numbers, prerelease: String::new(), metadata: String::new(), ..self.clone() };
        next.is_pointer = false;
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        next.original = format!("{prefix}{}", next.text());
        Value::object(next)
    }
}

fn group<'a>(parts: &Captures<'a>, index: usize) -> &'a str {
    parts.get(index).map_or("", |part| part.as_str())
}

fn compare_prereleases(left: &str, right: &str) -> Ordering {
    let (left, right): (Vec<&str>, Vec<&str>) = (left.split('.').collect(), right.split('.').collect());
    for index in 0..left.len().max(right.len()) {
        let part = |parts: &[&str]| parts.get(index).copied().unwrap_or("").to_owned();
        let (left, right) = (part(&left), part(&right));
        let order = match (left.parse::<u64>(), right.parse::<u64>()) {
            _ if left == right => Ordering::Equal,
            _ if left.is_empty() || right.is_empty() => left.len().cmp(&right.len()),
            (Ok(left), Ok(right)) if left > right => Ordering::Greater,
            (Ok(_), _) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => left.cmp(&right),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

const fn getter(result: Type) -> Signature {
    Signature { params: &[], variadic: false, result }
}

const fn with_version(result: Type) -> Signature {
    Signature { params: &[VERSION], variadic: false, result }
}

impl Object for Version {
    fn type_name(&self) -> &'static str {
        if self.is_pointer { "*semver.Version" } else { "semver.Version" }
    }

    fn kind(&self) -> &'static str {
        if self.is_pointer { "ptr" } else { "struct" }
    }

    fn method(&self, name: &str) -> Option<Signature> {
        Some(match name {
            "Major" | "Minor" | "Patch" => getter(Type::UINT64),
            "Prerelease" | "Metadata" | "String" => getter(Type::String),
            "IncMajor" | "IncMinor" | "IncPatch" => getter(Type::Named("semver.Version")),
            "SetPrerelease" | "SetMetadata" => {
                Signature { params: &[Type::String], variadic: false, result: Type::Named("semver.Version") }
            }
            // Only a pointer has these.
            _ if !self.is_pointer => return None,
            "Original" => getter(Type::String),
            "Compare" => with_version(Type::INT),
            "Equal" | "LessThan" | "GreaterThan" | "LessThanEqual" | "GreaterThanEqual" => with_version(Type::Bool),
            _ => return None,
        })
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Outcome {
        let other = match arguments.first() {
            Some(Value::Object(object)) => object.as_any().downcast_ref::<Self>(),
            _ => None,
        };
        let order = other.map(|other| self.compare(other));
        let ordered = |test: fn(Ordering) -> bool| {
            order.map(|order| Value::Bool(test(order))).ok_or_else(|| super::NIL_POINTER.to_owned())
        };
        Ok(match name {
            "Major" => Value::Uint(super::super::value::UintKind::Uint64, self.numbers[0]),
            "Minor" => Value::Uint(super::super::value::UintKind::Uint64, self.numbers[1]),
            "Patch" => Value::Uint(super::super::value::UintKind::Uint64, self.numbers[2]),
            "Prerelease" => Value::from(self.prerelease.as_str()),
            "Metadata" => Value::from(self.metadata.as_str()),
            "Original" => Value::from(self.original.as_str()),
            "String" => Value::from(self.text()),
            "IncMajor" => self.next(0),
            "IncMinor" => self.next(1),
            "IncPatch" => self.next(2),
            "SetPrerelease" | "SetMetadata" => self.with_part(name, arguments)?,
            "Compare" => Value::int(order.ok_or(super::NIL_POINTER)? as i64),
            "Equal" => ordered(Ordering::is_eq)?,
            "LessThan" => ordered(Ordering::is_lt)?,
            "GreaterThan" => ordered(Ordering::is_gt)?,
            "LessThanEqual" => ordered(Ordering::is_le)?,
            _ => ordered(Ordering::is_ge)?,
        })
    }

    fn field(&self, name: &str) -> Option<Outcome> {
        matches!(name, "major" | "minor" | "patch" | "pre" | "metadata" | "original")
            .then(|| Err(format!("{name} is an unexported field of struct type {}", self.type_name())))
    }

    fn display(&self) -> Option<String> {
        Some(self.text())
    }

    fn json(&self) -> Option<String> {
        Some(format!("\"{}\"", self.text()))
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let number = |index: usize| Value::Uint(super::super::value::UintKind::Uint64, self.numbers[index]);
        vec![
            ("major", number(0)),
            ("minor", number(1)),
            ("patch", number(2)),
            ("pre", Value::from(self.prerelease.as_str())),
            ("metadata", Value::from(self.metadata.as_str())),
            ("original", Value::from(self.original.as_str())),
        ]
    }

    fn copied(&self) -> Option<Value> {
        // Copying does not see the private fields of the library.
        let (prerelease, metadata, original) = (String::new(), String::new(), String::new());
        Some(Value::object(Self { numbers: [0; 3], prerelease, metadata, original, is_pointer: self.is_pointer }))
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.as_any().downcast_ref::<Self>() == Some(self)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Version {
    fn with_part(&self, name: &str, arguments: &[Value]) -> Outcome {
        let part = match arguments.first() {
            Some(Value::Str(text)) => text.to_text(),
            _ => String::new(),
        };
        let mut version = Self { is_pointer: false, ..self.clone() };
        if name == "SetPrerelease" {
            version.prerelease = part;
        } else {
            version.metadata = part;
        }
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        version.original = format!("{prefix}{}", version.text());
        match Self::parse(&version.text()) {
            Ok(_) => Ok(Value::object(version)),
            Err(_) if name == "SetPrerelease" => Err("Invalid Prerelease string".to_owned()),
            Err(_) => Err("Invalid Metadata string".to_owned()),
        }
    }
}

/// A version in which trailing parts may be missing or `x`.
const LOOSE_VERSION: &str = r"v?([0-9|x|X|\*]+)(\.[0-9|x|X|\*]+)?(\.[0-9|x|X|\*]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";
/// In the order of Go's library: the first that fits counts.
const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";

fn constraint_pattern(pattern: &str) -> Regex {
    let text = pattern.replace("OP", OPERATORS).replace("VERSION", LOOSE_VERSION).replace(r"\s", r"[\t\n\f\r ]");
    Regex::new(&text).expect("a constant pattern")
}

static CONSTRAINT: LazyLock<Regex> = LazyLock::new(|| constraint_pattern(r"^\s*(OP)\s*(VERSION)\s*$"));
static RANGE: LazyLock<Regex> = LazyLock::new(|| constraint_pattern(r"\s*(VERSION)\s+-\s+(VERSION)\s*"));
static FIND: LazyLock<Regex> = LazyLock::new(|| constraint_pattern(r"(OP)\s*(VERSION)"));
static VALID: LazyLock<Regex> =
    LazyLock::new(|| constraint_pattern(r"^(\s*(OP)\s*(VERSION)\s*)((?:\s+|,\s*)(OP)\s*(VERSION)\s*)*$"));

struct Constraint {
    operator: String,
    version: Version,
    /// The first part that is missing or `x`: 0 major, 1 minor, 2 patch, 3 none.
    exact: usize,
}

impl Constraint {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = CONSTRAINT.captures(text).ok_or_else(|| format!("improper constraint: {text}"))?;
        let is_wild = |index: usize| {
            let part = group(&parts, index).trim_start_matches('.');
            part.is_empty() || matches!(part, "x" | "X" | "*")
        };
        let exact = (3..6).position(is_wild).unwrap_or(3);
        let (major, minor, prerelease) = (group(&parts, 3), group(&parts, 4), group(&parts, 6));
        let version = match exact {
            0 => format!("0.0.0{prerelease}"),
            1 => format!("{major}.0.0{prerelease}"),
            2 => format!("{major}{minor}.0{prerelease}"),
            _ => group(&parts, 2).to_owned(),
        };
        let version = Version::parse(&version).map_err(|_| "constraint Parser Error")?;
        Ok(Self { operator: group(&parts, 1).to_owned(), version, exact })
    }

    fn allows(&self, version: &Version) -> bool {
        let order = version.compare(&self.version);
        let ([major, minor, patch], [own_major, own_minor, own_patch]) = (version.numbers, self.version.numbers);
        let hidden_prerelease = !version.prerelease.is_empty() && self.version.prerelease.is_empty();
        if self.operator == "!=" {
            return if self.exact < 3 { self.differs(version, hidden_prerelease) } else { order.is_ne() };
        }
        if hidden_prerelease {
            return false;
        }
        let loose = self.exact < 3;
        let minor_open = self.exact == 1;
        match self.operator.as_str() {
            ">" if !loose => order.is_gt(),
            ">" if major != own_major => major > own_major,
            ">" if minor_open => false,
            ">" if self.exact == 2 => minor > own_minor,
            ">" => order.is_gt(),
            "<" => order.is_lt(),
            ">=" | "=>" => order.is_ge(),
            "<=" | "=<" if !loose => order.is_le(),
            "<=" | "=<" => major < own_major || major == own_major && (minor <= own_minor || minor_open),
            "^" => {
                order.is_ge()
                    && if own_major > 0 || minor_open {
                        major == own_major
                    } else if major > 0 {
                        false
                    } else if own_minor > 0 || self.exact == 2 {
                        minor == own_minor
                    } else {
                        minor == 0 && patch == own_patch
                    }
            }
            "" | "=" if !loose => order.is_eq(),
            _ => self.near(version, order),
        }
    }

    /// `!=` with open parts.
    fn differs(&self, version: &Version, hidden_prerelease: bool) -> bool {
        let (numbers, own) = (version.numbers, self.version.numbers);
        if hidden_prerelease {
            return false;
        }
        match self.exact {
            _ if numbers[0] != own[0] => true,
            1 => false,
            _ if numbers[1] != own[1] => true,
            2 => compare_prereleases(&version.prerelease, &self.version.prerelease).is_ne(),
            _ if numbers[2] != own[2] => true,
            _ => version.compare(&self.version).is_ne(),
        }
    }

    /// `~`: the same version up to the parts that are given.
    fn near(&self, version: &Version, order: Ordering) -> bool {
        let (numbers, own) = (version.numbers, self.version.numbers);
        if order.is_lt() {
            return false;
        }
        let all = own == [0, 0, 0] && !matches!(self.exact, 1 | 2);
        all || numbers[0] == own[0] && (numbers[1] == own[1] || self.exact == 1)
    }
}

fn compare(_: &mut Call<'_>, arguments: &Arguments<'_>) -> Outcome {
    let mut text = arguments.string(0);
    for range in RANGE.captures_iter(&text.clone()) {
        let bounds = format!(">= {}, <= {} ", group(&range, 1), group(&range, 11));
        text = text.replacen(group(&range, 0), &bounds, 1);
    }
    let mut alternatives = Vec::new();
    for alternative in text.split("||") {
        if !VALID.is_match(alternative) {
            return Err(format!("improper constraint: {alternative}"));
        }
        let found: Result<Vec<_>, _> =
            FIND.find_iter(alternative).map(|part| Constraint::parse(part.as_str())).collect();
        alternatives.push(found?);
    }
    let version = Version::parse(&arguments.string(1))?;
    let fits = alternatives.iter().any(|all| all.iter().all(|constraint| constraint.allows(&version)));
    Ok(Value::Bool(fits))
}
