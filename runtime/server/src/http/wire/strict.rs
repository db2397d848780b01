//! JSON into a tree, with fields that are given twice told instead of dropped. Never a shape.
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::fields::Problems;

/// `None` if it is no JSON at all; then, too, there is a problem.
pub(crate) fn parse(body: &[u8], problems: &mut Problems) -> Option<Value> {
    let mut read = serde_json::Deserializer::from_slice(body);
    let value = Tree { path: String::new(), problems }.deserialize(&mut read);
    match value.and_then(|value| read.end().map(|()| value)) {
        Ok(value) => Some(value),
        Err(error) => {
            problems.add("", format!("the body is no JSON: {error}"));
            None
        }
    }
}

struct Tree<'a> {
    path: String,
    problems: &'a mut Problems,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, read: D) -> Result<Value, D::Error> {
        read.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, values.len());
            match seq.next_element_seed(Tree { path, problems: self.problems })? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let path = match self.path.as_str() {
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            let tree = Tree { path: path.clone(), problems: self.problems };
            let value = entries.next_value_seed(tree)?;
            if map.insert(name, value).is_some() {
                self.problems.add(path, "given twice");
            }
        }
        Ok(Value::Object(map))
    }
}
