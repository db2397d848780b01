//! Headers of a record as they lie in a batch: name and value, each behind its length (u32, little
//! endian). Order and duplicates are kept. Never parsed unless asked for.
use std::fmt;

/// A borrowed, well-formed run of headers.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    pub const NONE: Headers<'static> = Headers(&[]);

    /// `None` if the bytes are no run of headers (names are UTF-8).
    #[must_use]
    pub fn parse(encoded: &'a [u8]) -> Option<Self> {
        Self::is_wellformed(encoded).then_some(Self(encoded))
    }

    pub(crate) fn of_wellformed(encoded: &'a [u8]) -> Self {
        Self(encoded)
    }

    pub(crate) fn is_wellformed(mut rest: &[u8]) -> bool {
        while !rest.is_empty() {
            let Some((name, after)) = piece(rest) else { return false };
            let Some((_, after)) = piece(after) else { return false };
            if std::str::from_utf8(name).is_err() {
                return false;
            }
            rest = after;
        }
        true
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// As they lie in a batch.
    #[must_use]
    pub fn encoded(self) -> &'a [u8] {
        self.0
    }

    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        HeadersIter(self.0)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.into_iter().map(|(name, value)| (name, String::from_utf8_lossy(value)));
        f.debug_map().entries(shown).finish()
    }
}

/// Names and values in order.
#[derive(Clone, Debug)]
pub struct HeadersIter<'a>(&'a [u8]);

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, after) = piece(self.0)?;
        let (value, after) = piece(after)?;
        self.0 = after;
        Some((std::str::from_utf8(name).ok()?, value))
    }
}

/// Builds a run of headers.
#[derive(Clone, Debug, Default)]
pub struct HeadersBuf(Vec<u8>);

impl HeadersBuf {
    pub fn push(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            let len = u32::try_from(part.len()).expect("a header is under 4 GiB");
            self.0.extend_from_slice(&len.to_le_bytes());
            self.0.extend_from_slice(part);
        }
    }

    pub fn extend(&mut self, headers: Headers<'_>) {
        self.0.extend_from_slice(headers.encoded());
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    #[must_use]
    pub fn as_headers(&self) -> Headers<'_> {
        Headers(&self.0)
    }
}

fn piece(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_in_order_and_broken_ones_are_refused() {
        let mut buf = HeadersBuf::default();
        buf.push("a", b"1");
        buf.push("", b"");
        buf.push("a", &[0xff]);
        let back: Vec<_> = buf.as_headers().into_iter().collect();
        assert_eq!(back, [("a", &b"1"[..]), ("", b""), ("a", &[0xff])]);
        assert_eq!(buf.as_headers().get("a"), Some(&b"1"[..]));
        let bytes = buf.as_headers().encoded();
        for cut in 1..bytes.len() {
            let whole = Headers::parse(&bytes[..cut]);
            assert!(whole.is_none() || cut == 10 || cut == 18, "cut at {cut}");
        }
        assert!(Headers::parse(&[1, 0, 0, 0, 0xff, 0, 0, 0, 0]).is_none(), "a name is UTF-8");
    }
}
