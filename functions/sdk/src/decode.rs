//! JSON to a type, and an error that names the field. serde_json says where in the text it stopped, not in which
//! field; the text is walked once more for that, and only for a record that failed. Nothing here knows records.

use serde::Deserialize;
use serde_json::error::Category;

pub(crate) const NO_VALUE: &str = "the record has no value (it is a tombstone)";

/// What a value may contribute to a reason; it may be a megabyte long.
const REASON_CHARS_MAX: usize = 300;

/// `None`, a tombstone, decodes as `null` does, so that an `Option` takes it.
pub(crate) fn json<'a, T: Deserialize<'a>>(value: Option<&'a [u8]>) -> Result<T, String> {
    match value {
        Some(text) => serde_json::from_slice(text).map_err(|error| reason(text, &error)),
        None => serde_json::from_slice(b"null").map_err(|_| NO_VALUE.to_owned()),
    }
}

fn reason(text: &[u8], error: &serde_json::Error) -> String {
    let said = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let said = shortened(said.strip_suffix(&place).unwrap_or(&said));
    match error.classify() {
        Category::Eof if text.iter().all(u8::is_ascii_whitespace) => {
            "the value is empty".to_owned()
        }
        Category::Syntax | Category::Eof | Category::Io => format!("not JSON: {said}{place}"),
        Category::Data => {
            let path = path_at(text, consumed(text, error.line(), error.column()));
            let missing =
                said.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
            match (missing, path.as_str()) {
                (Some(field), "") => format!("`{field}` is missing"),
                (Some(field), _) => format!("`{path}.{field}` is missing"),
                (None, "") => said,
                (None, _) => format!("`{path}`: {said}"),
            }
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How many bytes lie before the place that serde_json names; its lines and columns count from one.
fn consumed(text: &[u8], line: usize, column: usize) -> usize {
    let starts = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::len);
    let start: usize = starts.take(line.saturating_sub(1)).sum();
    (start + column).min(text.len())
}

/// The path to the value that stands at, or just before, the end of this stretch of well-formed JSON.
fn path_at(text: &[u8], end: usize) -> String {
    enum Within<'a> {
        Object(&'a [u8]),
        List(usize),
    }
    let mut open: Vec<Within<'_>> = Vec::new();
    let mut at = 0;
    // An object is waiting for a key after `{` and `,`, and for a value otherwise.
    let mut awaits_key = false;
    while at < end {
        match text[at] {
            b'{' => {
                open.push(Within::Object(b""));
                awaits_key = true;
            }
            b'[' => {
                open.push(Within::List(0));
                awaits_key = false;
            }
            b'}' | b']' => {
                open.pop();
                awaits_key = false;
            }
            b',' => match open.last_mut() {
                Some(Within::List(index)) => *index += 1,
                _ => awaits_key = true,
            },
            b'"' => {
                let start = at + 1;
                at = string_end(text, start);
                if let (true, Some(Within::Object(key))) = (awaits_key, open.last_mut()) {
                    *key = &text[start..at];
                    awaits_key = false;
                }
            }
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for within in &open {
        match within {
            Within::Object(b"") => {}
            Within::Object(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&shortened(&String::from_utf8_lossy(key)));
            }
            Within::List(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

/// Where the closing quote of the string that starts here stands.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < text.len() && text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at.min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only decoding is tested")]
    struct Order {
        id: String,
        customer: Customer,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only decoding is tested")]
    struct Customer {
        id: String,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only decoding is tested")]
    struct Item {
        qty: u32,
        #[serde(default)]
        kind: Kind,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        #[default]
        Book,
    }

    fn refused(text: &str) -> String {
        json::<Order>(Some(text.as_bytes())).expect_err("it is refused")
    }

    #[test]
    fn a_reason_names_the_field() {
        assert_eq!(refused(r#"{"id":"1"}"#), "`customer` is missing");
        assert_eq!(refused(r#"{"id":"1","customer":{ } }"#), "`customer.id` is missing");
        assert_eq!(
            refused(r#"{"id":7,"customer":{"id":"a"}}"#),
            "`id`: invalid type: integer `7`, expected a string"
        );
        let items = |items: &str| {
            refused(&format!(
                "{{\"id\":\"1\",\n \"customer\":{{\"id\":\"a\\\"{{\"}},\n\"items\":{items} }}"
            ))
        };
        assert_eq!(
            items(r#"[{"qty":1},{"qty": "two" }]"#),
            "`items[1].qty`: invalid type: string \"two\", expected u32"
        );
        assert_eq!(
            items(r#"[{"qty":1},{"qty":[1]}]"#),
            "`items[1].qty`: invalid type: sequence, expected u32"
        );
        assert_eq!(
            items(r#"[{"qty":-1}]"#),
            "`items[0].qty`: invalid value: integer `-1`, expected u32"
        );
        assert_eq!(items(r#"[{"qty":null}]"#), "`items[0].qty`: invalid type: null, expected u32");
        assert_eq!(items(r#"[{"qty":1},{}]"#), "`items[1].qty` is missing");
        assert_eq!(items("{}"), "`items`: invalid type: map, expected a sequence");
        assert!(
            items(r#"[{"qty":1,"kind":"boot"}]"#).starts_with("`items[0].kind`: unknown variant")
        );
        assert!(items(r#"[{"qty":1,"qty":2}]"#).starts_with("`items[0].qty`: duplicate field"));
    }

    #[test]
    fn what_is_no_json_is_called_that() {
        assert_eq!(refused(""), "the value is empty");
        assert_eq!(refused("hello"), "not JSON: expected value at line 1 column 1");
        assert!(refused(r#"{"id":"#).starts_with("not JSON: EOF while parsing"));
        assert!(
            json::<Order>(Some(b"{\"id\":\"\xff\"}"))
                .expect_err("refused")
                .starts_with("not JSON: ")
        );
        assert_eq!(refused("[]"), "invalid length 0, expected struct Order with 3 elements");
    }

    #[test]
    fn a_tombstone_is_an_absent_value() {
        assert_eq!(json::<Order>(None).expect_err("an order is no option"), NO_VALUE);
        assert!(json::<Option<Order>>(None).expect("an option is").is_none());
    }

    #[test]
    fn a_reason_stays_short() {
        let long = format!(
            r#"{{"id":"1","customer":{{"id":"a"}},"items":[{{"qty":"{}"}}]}}"#,
            "é".repeat(9999)
        );
        assert!(refused(&long).chars().count() < 400);
    }

    #[test]
    fn no_place_in_any_text_is_out_of_bounds() {
        let text = br#"{"a\"":["x\\",{"b":1},"\"#;
        for end in 0..=text.len() {
            path_at(text, end);
        }
    }
}
