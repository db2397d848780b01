//! A record as JSON: how it is shown, and how it is read back from the same form. Never which topic it is
//! of, or where it goes.
mod read;
mod show;

pub(crate) use read::{RawRecord, RecordSeed};
pub(crate) use show::{Place, write};

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use log_contract::{Attributes, Headers, HeadersBuf, Offset, PartitionId, Record, Timestamp};
    use serde::de::DeserializeSeed as _;

    use super::*;
    use crate::http::wire::Problems;

    fn shown(key: Option<&[u8]>, value: Option<&[u8]>, headers: &HeadersBuf) -> String {
        let record = Record {
            offset: Offset(7),
            timestamp: Timestamp(1_000),
            appended_at: Timestamp(2_500),
            key,
            value,
            headers: headers.as_headers(),
        };
        let mut out = Vec::new();
        write(&mut out, Some(Place { partition: PartitionId(2) }), &record, None);
        String::from_utf8(out).expect("JSON is text")
    }

    fn read_back(line: &str) -> (Option<Vec<u8>>, Option<Vec<u8>>, HeadersBuf) {
        let mut problems = Problems::default();
        let path = || "line 1".to_owned();
        let seed = RecordSeed { path: &path, problems: &mut problems, is_envelope: true };
        let mut read = serde_json::Deserializer::from_str(line);
        let raw = seed.deserialize(&mut read).expect("JSON").expect("a record");
        let mut headers = HeadersBuf::default();
        let record = raw.read(&mut headers, &path, &mut problems);
        assert!(problems.is_empty(), "{problems:?} in {line}");
        assert_eq!(record.timestamp, Some(Timestamp(1_000)));
        assert_eq!(record.partition, Some(PartitionId(2)));
        (record.key.map(Cow::into_owned), record.value.map(Cow::into_owned), headers)
    }

    #[test]
    fn a_value_is_shown_as_what_it_is() {
        let none = HeadersBuf::default();
        assert_eq!(
            shown(Some(b"o-1"), Some(br#"{"a": 1}"#), &none),
            r#"{"partition":2,"offset":7,"timestamp":"1970-01-01T00:00:01.000Z","appended_at":"1970-01-01T00:00:02.500Z","key":"o-1","value":{"a": 1},"headers":{}}"#
        );
        let part = |value: Option<&[u8]>| {
            shown(None, value, &none).split("00Z\",").nth(2).unwrap_or_default().to_owned()
        };
        assert_eq!(part(None), r#""value":null,"headers":{}}"#);
        assert_eq!(part(Some(b"null")), r#""value_text":"null","headers":{}}"#);
        assert_eq!(part(Some(b"")), r#""value_text":"","headers":{}}"#);
        assert_eq!(part(Some(b"say \"hi\"\n")), r#""value_text":"say \"hi\"\n","headers":{}}"#);
        assert_eq!(part(Some(&[0xff, 0])), r#""value_base64":"/wA=","headers":{}}"#);
        assert_eq!(part(Some(b"[1,\n2]")), r#""value":[1, 2],"headers":{}}"#);
        assert_eq!(part(Some(b"\"\xff\"")), r#""value_base64":"Iv8i","headers":{}}"#);
    }

    #[test]
    fn what_is_shown_is_read_back_byte_for_byte() {
        let mut headers = HeadersBuf::default();
        headers.push("a", b"1");
        headers.push("b", &[0xff]);
        headers.push("a\"", "ü".as_bytes());
        let keys: [Option<&[u8]>; 4] = [None, Some(b""), Some("ü\"\\".as_bytes()), Some(&[0xfe])];
        let values: [Option<&[u8]>; 7] = [
            None,
            Some(b""),
            Some(b"null"),
            Some(b"{\"a\":  1}"),
            Some(b"text\r\n"),
            Some(&[0, 0xff]),
            Some(b"1e999"),
        ];
        for key in keys {
            for value in values {
                let (key_back, value_back, headers_back) = read_back(&shown(key, value, &headers));
                assert_eq!(key_back.as_deref(), key);
                assert_eq!(value_back.as_deref(), value);
                assert_eq!(headers_back.as_headers(), headers.as_headers());
            }
        }
    }

    #[test]
    fn headers_of_one_name_are_a_list() {
        let mut headers = HeadersBuf::default();
        headers.push("a", b"1");
        headers.push("a", b"2");
        let line = shown(None, None, &headers);
        assert!(line.ends_with(r#""headers":{"a":["1","2"]}}"#), "{line}");
        assert_eq!(read_back(&line).2.as_headers(), headers.as_headers());
    }

    #[test]
    fn what_a_batch_says_is_shown_with_each_of_its_records() {
        let attributes = Attributes {
            trigger: "t".into(),
            function: "f".into(),
            version: 3,
            invocation: "i".into(),
            hops: 1,
        };
        let mut out = Vec::new();
        let headers = Headers::NONE;
        let (offset, at) = (Offset(0), Timestamp(0));
        let record =
            Record { offset, timestamp: at, appended_at: at, key: None, value: None, headers };
        write(&mut out, None, &record, Some(&attributes));
        assert_eq!(
            String::from_utf8(out).expect("text"),
            r#"{"value":null,"headers":{"millstream-trigger":"t","millstream-function":"f","millstream-version":"3","millstream-invocation":"i","millstream-hops":"1"}}"#
        );
    }
}
