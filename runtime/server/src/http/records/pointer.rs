//! One value out of a JSON text by JSON Pointer (RFC 6901), in one pass that also checks the text.
//! Never a tree.
use std::{borrow::Cow, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A parsed pointer: `/customer/id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    text: String,
    tokens: Vec<String>,
}

impl Pointer {
    /// # Errors
    /// How to write it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fail = || format!("`{text}` is no JSON Pointer: write it as `/customer/id`");
        let rest = text.strip_prefix('/').ok_or_else(fail)?;
        let token = |token: &str| {
            let bad = token.split('~').skip(1).any(|after| !after.starts_with(['0', '1']));
            if bad { Err(fail()) } else { Ok(token.replace("~1", "/").replace("~0", "~")) }
        };
        let tokens = rest.split('/').map(token).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), tokens })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The value there; `None` if there is none. The whole text is checked.
    ///
    /// # Errors
    /// The text is no JSON.
    pub(super) fn find<'a>(
        &self,
        json: &'a str,
    ) -> Result<Option<&'a RawValue>, serde_json::Error> {
        let mut read = serde_json::Deserializer::from_str(json);
        let found = Seek { tokens: &self.tokens }.deserialize(&mut read)?;
        read.end()?;
        Ok(found)
    }
}

#[derive(Clone, Copy)]
struct Seek<'t> {
    tokens: &'t [String],
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, read: D) -> Result<Self::Value, D::Error> {
        if self.tokens.is_empty() {
            return de::Deserialize::deserialize(read).map(Some);
        }
        read.deserialize_any(self)
    }
}

macro_rules! leads_nowhere {
    ($($visit:ident($type:ty),)*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok(None)
        })*
    };
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    leads_nowhere! { visit_bool(bool), visit_u64(u64), visit_i64(i64), visit_f64(f64), visit_str(&str), }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (first, rest) = self.tokens.split_first().expect("asked with a token left");
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(Is(first))? {
            if is_it {
                // Of a name that comes twice the last one counts, as for most readers of JSON.
                found = map.next_value_seed(Seek { tokens: rest })?;
            } else {
                map.next_value::<de::IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (first, rest) = self.tokens.split_first().expect("asked with a token left");
        let is_index = first == "0" || !first.starts_with(['0', '+']);
        let wanted = first.parse::<usize>().ok().filter(|_| is_index);
        let mut found = None;
        for at in 0.. {
            let more = if Some(at) == wanted {
                let element = seq.next_element_seed(Seek { tokens: rest })?;
                found = element.flatten();
                element.is_some()
            } else {
                seq.next_element::<de::IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(found)
    }
}

/// Whether a name is the one that is sought, without keeping it.
struct Is<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, read: D) -> Result<bool, D::Error> {
        read.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// The key that a value stands for: text as its bytes, a number or a truth value as written.
pub(super) fn key_of(raw: &RawValue) -> Option<Cow<'_, [u8]>> {
    match raw.get().as_bytes().first()? {
        b'"' => {
            let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
            if inner.contains('\\') {
                serde_json::from_str(raw.get()).ok().map(|text: String| text.into_bytes().into())
            } else {
                Some(inner.as_bytes().into())
            }
        }
        b'-' | b'0'..=b'9' | b't' | b'f' => Some(raw.get().as_bytes().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pointer: &str, json: &str) -> Option<String> {
        let pointer = Pointer::parse(pointer).expect(pointer);
        let found = pointer.find(json).expect("JSON")?;
        key_of(found).map(|key| String::from_utf8(key.into_owned()).expect("text"))
    }

    #[test]
    fn a_key_is_found_by_pointer() {
        let json =
            r#" {"a": [1, {"b": "x"}], "c/d": {"~": true, "": "e\"f"}, "n": null, "a2": -1.50} "#;
        for (pointer, found) in [
            ("/a/1/b", Some("x")),
            ("/a/0", Some("1")),
            ("/a/01", None),
            ("/a/2", None),
            ("/a/b", None),
            ("/c~1d/~0", Some("true")),
            ("/c~1d/", Some("e\"f")),
            ("/n", None),
            ("/a", None),
            ("/a2", Some("-1.50")),
            ("/a2/b", None),
            ("/z", None),
        ] {
            assert_eq!(key(pointer, json).as_deref(), found, "{pointer}");
        }
        assert_eq!(key("/a", r#"{"a": 1, "a": 2}"#).as_deref(), Some("2"));
    }

    #[test]
    fn the_whole_text_is_checked_though_the_key_comes_first() {
        let pointer = Pointer::parse("/a").expect("a pointer");
        for broken in [r#"{"a": 1"#, r#"{"a": 1} x"#, r#"{"a": 1, "b": tru}"#, ""] {
            assert!(pointer.find(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for wrong in ["", "a", "customer.id", "/a~", "/a~2"] {
            assert!(Pointer::parse(wrong).is_err(), "{wrong}");
        }
    }
}
