//! Reads a JSON object field by field and keeps all that is wrong with it, so that a caller hears
//! everything at once. Never a default that depends on another field: that is with the shapes.
use std::time::Duration;

use serde_json::{Map, Value};

use super::{nearest::unknown, quantity, strict};
use crate::http::error::{ApiError, ApiResult, Problem};

/// What is wrong with a body so far. Bounded, as a body can be wrong ten thousand times.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

const PROBLEMS_MAX: usize = 100;

impl Problems {
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(Problem { field: field.into(), message: message.into() });
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= PROBLEMS_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value`, if nothing is wrong.
    pub(crate) fn or<T>(self, value: T) -> ApiResult<T> {
        if self.0.is_empty() { Ok(value) } else { Err(ApiError::body(self.0)) }
    }
}

/// One object of a body. Each field is taken once; `finish` refuses what nobody took.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    map: Map<String, Value>,
    known: Vec<&'static str>,
    problems: &'a mut Problems,
}

/// Reads a whole body as one object. An empty body is an empty object: all defaults.
pub(crate) fn read_body<T>(
    body: &[u8],
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> ApiResult<T> {
    let mut problems = Problems::default();
    let whole = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let value = strict::parse(whole, &mut problems);
    let map = match value {
        Some(Value::Object(map)) => map,
        Some(other) => {
            problems.add("", format!("the body is {}, not an object", noun_of(&other)));
            return problems.or(None).map(|_: Option<T>| unreachable!("there is a problem"));
        }
        None => return Err(problems.or(()).expect_err("a body that is no JSON has a problem")),
    };
    let mut fields =
        Fields { path: String::new(), map, known: Vec::new(), problems: &mut problems };
    let read = read(&mut fields);
    fields.finish();
    problems.or(read).map(|read| read.expect("a read that fails adds a problem"))
}

impl Fields<'_> {
    /// The field's value as it came, absent or not.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.map.remove(name)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    pub(crate) fn problem(&mut self, name: &str, message: impl Into<String>) {
        let field = self.path(name);
        self.problems.add(field, message);
    }

    /// The same, unless the field has a problem already.
    pub(crate) fn problem_once(&mut self, name: &str, message: impl Into<String>) {
        if !self.has_problem(name) {
            self.problem(name, message);
        }
    }

    pub(crate) fn has_problem(&self, name: &str) -> bool {
        let field = self.path(name);
        self.problems.0.iter().any(|problem| problem.field == field)
    }

    pub(crate) fn missing(&mut self, name: &str, example: &str) {
        self.problem(name, format!("missing; give {example}"));
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => self.wrong(name, "text", &other),
        }
    }

    /// Text or `null`. The outer `None`: absent (or wrong).
    pub(crate) fn text_or_null(&mut self, name: &'static str) -> Option<Option<String>> {
        match self.take(name)? {
            Value::Null => Some(None),
            Value::String(text) => Some(Some(text)),
            other => self.wrong(name, "text or null", &other),
        }
    }

    /// Text that `parse` understands, whose error says what is wrong.
    pub(crate) fn parsed<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(name)?;
        parse(&text).map_err(|why| self.problem(name, why.to_string())).ok()
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&'static str, T)],
        default: T,
    ) -> T {
        let found = self.parsed(name, |text| {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or_else(|| unknown("value", text, &known))
        });
        found.unwrap_or(default)
    }

    pub(crate) fn flag(&mut self, name: &'static str, default: bool) -> bool {
        match self.take(name) {
            None => default,
            Some(Value::Bool(flag)) => flag,
            Some(other) => self.wrong(name, "true or false", &other).unwrap_or(default),
        }
    }

    /// A whole number within bounds, both inclusive.
    pub(crate) fn integer(&mut self, name: &'static str, default: u64, min: u64, max: u64) -> u64 {
        let found = self.take(name);
        found.map_or(default, |value| self.bounded(name, &value, min, max).unwrap_or(default))
    }

    /// The same, or `null`.
    pub(crate) fn integer_or_null(
        &mut self,
        name: &'static str,
        default: Option<u64>,
        min: u64,
        max: u64,
    ) -> Option<u64> {
        match self.take(name) {
            None => default,
            Some(Value::Null) => None,
            Some(value) => self.bounded(name, &value, min, max),
        }
    }

    pub(crate) fn integer_if_given(&mut self, name: &'static str) -> Option<u64> {
        let value = self.take(name)?;
        self.bounded(name, &value, 0, u64::MAX)
    }

    /// A number within bounds, both inclusive.
    pub(crate) fn number(&mut self, name: &'static str, default: f64, min: f64, max: f64) -> f64 {
        match self.take(name) {
            None => default,
            Some(value) => match value.as_f64() {
                Some(number) if (min..=max).contains(&number) => number,
                Some(number) => {
                    self.problem(name, format!("{number} is not within {min} to {max}"));
                    default
                }
                None => self.wrong(name, "a number", &value).unwrap_or(default),
            },
        }
    }

    /// A duration within bounds, both inclusive.
    pub(crate) fn duration(
        &mut self,
        name: &'static str,
        default: Duration,
        bounds: (Duration, Duration),
    ) -> Duration {
        self.duration_or_null(name, Some(default), bounds, false).unwrap_or(default)
    }

    /// The same, or (if `nullable`) `null`.
    pub(crate) fn duration_or_null(
        &mut self,
        name: &'static str,
        default: Option<Duration>,
        (min, max): (Duration, Duration),
        nullable: bool,
    ) -> Option<Duration> {
        let found = match self.take(name) {
            None => return default,
            Some(Value::Null) if nullable => return None,
            Some(Value::String(text)) => quantity::parse_duration(&text),
            Some(other) => Err(format!("{} is no duration: write it as \"5s\"", noun_of(&other))),
        };
        let show = quantity::show_duration;
        let found = found.and_then(|found| match found {
            found if found < min => Err(format!("{} is below {}", show(found), show(min))),
            found if found > max => Err(format!("{} is above {}", show(found), show(max))),
            found => Ok(found),
        });
        found.map_or_else(
            |why| {
                self.problem(name, why);
                default
            },
            Some,
        )
    }

    /// A size within bounds, both inclusive.
    pub(crate) fn size(&mut self, name: &'static str, default: u64, min: u64, max: u64) -> u64 {
        self.size_or_null(name, Some(default), (min, max), false).unwrap_or(default)
    }

    /// The same, or (if `nullable`) `null`.
    pub(crate) fn size_or_null(
        &mut self,
        name: &'static str,
        default: Option<u64>,
        (min, max): (u64, u64),
        nullable: bool,
    ) -> Option<u64> {
        let found = match self.take(name) {
            None => return default,
            Some(Value::Null) if nullable => return None,
            Some(Value::String(text)) => quantity::parse_size(&text),
            Some(other) => Err(format!("{} is no size: write it as \"64KiB\"", noun_of(&other))),
        };
        let show = quantity::show_size;
        let found = found.and_then(|found| match found {
            found if found < min => Err(format!("{} is below {}", show(found), show(min))),
            found if found > max => Err(format!("{} is above {}", show(found), show(max))),
            found => Ok(found),
        });
        found.map_or_else(
            |why| {
                self.problem(name, why);
                default
            },
            Some,
        )
    }

    /// An object inside this one; absent is the same as empty.
    pub(crate) fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> T {
        let map = match self.take(name) {
            None => Map::new(),
            Some(Value::Object(map)) => map,
            Some(other) => {
                self.wrong::<()>(name, "an object", &other);
                Map::new()
            }
        };
        let path = self.path(name);
        Fields { path, map, known: Vec::new(), problems: self.problems }.read(read)
    }

    /// Free names with a value each. `None`: absent (or wrong).
    pub(crate) fn entries(&mut self, name: &'static str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            Value::Object(map) => Some(map),
            other => self.wrong(name, "an object", &other),
        }
    }

    /// Texts, each of which `parse` understands.
    pub(crate) fn list<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let values = match self.take(name) {
            None => return Vec::new(),
            Some(Value::Array(values)) => values,
            Some(other) => return self.wrong(name, "a list of texts", &other).unwrap_or_default(),
        };
        let mut parsed = Vec::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            let found = match value {
                Value::String(text) => parse(text).map_err(|why| why.to_string()),
                other => Err(format!("{} is not text", noun_of(other))),
            };
            match found {
                Ok(found) => parsed.push(found),
                Err(why) => self.problem(&format!("{name}[{at}]"), why),
            }
        }
        parsed
    }

    /// Reads what a field held as an object under the field's path.
    pub(crate) fn nested<T>(
        &mut self,
        name: &str,
        map: Map<String, Value>,
        read: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> T {
        let path = self.path(name);
        Fields { path, map, known: Vec::new(), problems: self.problems }.read(read)
    }

    pub(crate) fn wrong<T>(&mut self, name: &str, wanted: &str, found: &Value) -> Option<T> {
        self.problem(name, format!("{} is not {wanted}", noun_of(found)));
        None
    }

    fn bounded(&mut self, name: &str, value: &Value, min: u64, max: u64) -> Option<u64> {
        match value.as_u64() {
            Some(found) if found < min => self.problem(name, format!("{found} is below {min}")),
            Some(found) if found > max => self.problem(name, format!("{found} is above {max}")),
            Some(found) => return Some(found),
            None if value.as_i64().is_some() => {
                self.problem(name, format!("{value} is below {min}"));
            }
            None => self.problem(name, format!("{} is not a whole number", noun_of(value))),
        }
        None
    }

    fn read<T>(mut self, read: impl FnOnce(&mut Fields<'_>) -> T) -> T {
        let read = read(&mut self);
        self.finish();
        read
    }

    fn finish(&mut self) {
        for name in std::mem::take(&mut self.map).keys() {
            let message = unknown("field", name, &self.known);
            self.problem(name, message);
        }
    }
}

/// How a refusal calls what it found.
pub(crate) fn noun_of(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let short: String = text.chars().take(40).collect();
            format!("`{short}`")
        }
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(body: &str) -> Vec<String> {
        let read = read_body(body.as_bytes(), |fields| {
            fields.integer("partitions", 1, 1, 10);
            fields.object("batch", |batch| {
                batch.size("bytes_max", 1, 1, 1 << 20);
                batch.duration("wait", Duration::ZERO, (Duration::ZERO, Duration::from_secs(5)));
            });
            Some(())
        });
        match read {
            Ok(()) => Vec::new(),
            Err(error) => {
                error.problems().iter().map(|p| format!("{}: {}", p.field, p.message)).collect()
            }
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let told = problems_of(
            r#"{"partitions": 0, "batch": {"bytes_max": 5, "wait": "7s", "wiat": 1}, "name": "x", "name": "y"}"#,
        );
        assert_eq!(
            told,
            [
                "name: given twice",
                "partitions: 0 is below 1",
                "batch.bytes_max: 5 is no size: write it as \"64KiB\"",
                "batch.wait: 7s is above 5s",
                "batch.wiat: unknown field `wiat`; did you mean `wait`?",
                "name: unknown field `name`; known are `partitions`, `batch`",
            ]
        );
    }

    #[test]
    fn what_is_no_object_is_told_as_what_it_is() {
        assert_eq!(problems_of("[1]"), [": the body is a list, not an object"]);
        assert_eq!(problems_of("{\"batch\": 7}"), ["batch: 7 is not an object"]);
        assert!(problems_of("{\"partitions\": 1,}")[0].contains("line 1 column"));
        assert_eq!(problems_of("{\"partitions\": -1}"), ["partitions: -1 is below 1"]);
        assert_eq!(problems_of("  "), [""; 0]);
    }
}
