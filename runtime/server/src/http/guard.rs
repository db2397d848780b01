//! `ETag`, `If-Match` and `If-None-Match: *`: the guards against two writers. Never the comparison itself:
//! whoever holds the truth compares.
use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

use super::{
    body::text_header,
    error::{ApiError, ApiResult, Code},
};
use crate::catalog::{Etag, Guard, GuardFailed};

/// As it is shown in JSON. The header has it in quotes.
pub(crate) fn show(etag: Etag) -> String {
    format!("{:x}", etag.0)
}

pub(crate) fn with_etag(mut response: Response, etag: Etag) -> Response {
    let value = HeaderValue::try_from(format!("\"{}\"", show(etag)))
        .expect("digits and quotes make a header");
    response.headers_mut().insert(header::ETAG, value);
    response
}

/// What the caller wants to be there.
pub(crate) fn read(headers: &HeaderMap) -> ApiResult<Guard> {
    let if_match = text_header(headers, "if-match")?;
    let if_none_match = text_header(headers, "if-none-match")?;
    match (if_match.map(str::trim), if_none_match.map(str::trim)) {
        (None, None) => Ok(Guard::Any),
        (Some("*"), None) => Ok(Guard::Exists),
        (Some(etag), None) => parse(etag).map(Guard::Match),
        (None, Some("*")) => Ok(Guard::Nothing),
        (None, Some(_)) => Err(ApiError::new(
            Code::InvalidHeader,
            "`If-None-Match` of a change is `*`: only if nothing is there",
        )
        .field("if-none-match")),
        (Some(_), Some(_)) => Err(ApiError::new(
            Code::InvalidHeader,
            "`If-Match` and `If-None-Match` together can never hold",
        )
        .field("if-none-match")),
    }
}

/// For what has no door of its own that compares.
pub(crate) fn check(guard: Guard, current: Option<Etag>) -> ApiResult<()> {
    let holds = match guard {
        Guard::Any => true,
        Guard::Exists => current.is_some(),
        Guard::Match(etag) => current == Some(etag),
        Guard::Nothing => current.is_none(),
    };
    if holds { Ok(()) } else { Err(GuardFailed { current }.into()) }
}

/// An etag that is none of ours fits nothing that is there.
fn parse(text: &str) -> ApiResult<Etag> {
    // As the header has it, or as JSON has it.
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    u64::from_str_radix(bare, 16).map(Etag).map_err(|_| {
        ApiError::new(
            Code::InvalidHeader,
            format!("`{text}` is no etag of ours: send one as it was answered"),
        )
        .field("if-match")
    })
}

impl From<GuardFailed> for ApiError {
    fn from(failed: GuardFailed) -> Self {
        let (message, hint) = match failed.current {
            Some(etag) => (
                format!("what is there has the etag \"{}\"", show(etag)),
                "read it again, and send its etag as `If-Match`",
            ),
            None => ("nothing is there".into(), "leave out `If-Match` to create it"),
        };
        Self::new(Code::PreconditionFailed, message).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(name: &'static str, value: &'static str) -> ApiResult<Guard> {
        let name = header::HeaderName::from_static(name);
        read(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]))
    }

    #[test]
    fn guards_are_read_as_etags_are_shown() {
        assert_eq!(show(Etag(255)), "ff");
        assert_eq!(guard("if-match", "ff").ok(), Some(Guard::Match(Etag(255))));
        assert_eq!(guard("if-match", "\"ff\"").ok(), Some(Guard::Match(Etag(255))));
        assert_eq!(guard("if-match", "*").ok(), Some(Guard::Exists));
        assert_eq!(guard("if-none-match", "*").ok(), Some(Guard::Nothing));
        assert_eq!(read(&HeaderMap::new()).ok(), Some(Guard::Any));
        for (name, value) in
            [("if-match", "v1"), ("if-match", "W/\"ff\""), ("if-none-match", "\"ff\"")]
        {
            assert!(guard(name, value).is_err(), "{value}");
        }
    }
}
