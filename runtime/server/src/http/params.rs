//! Reads a path's names, a query's parameters and `Accept`, and refuses what no call knows. Never what they
//! are used for.
use std::fmt::Display;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderMap, Uri, header, request::Parts},
};
use log_contract::{CursorName, FunctionName, Offset, PartitionId, TopicName, TriggerName};

use super::{
    error::{ApiError, ApiResult, Code},
    wire::nearest::unknown,
};

/// The captures of a path, parsed where they are asked for.
#[derive(Debug)]
pub(crate) struct PathArgs(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for PathArgs {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let found = RawPathParams::from_request_parts(parts, state).await;
        let found = found.map_err(|why| ApiError::new(Code::InvalidName, why.to_string()))?;
        Ok(Self(found.iter().map(|(name, value)| (name.into(), value.into())).collect()))
    }
}

impl PathArgs {
    pub(crate) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .expect("the route captures what its handler asks for")
    }

    pub(crate) fn topic(&self) -> ApiResult<TopicName> {
        Ok(TopicName::parse(self.text("topic"))?)
    }

    pub(crate) fn function(&self) -> ApiResult<FunctionName> {
        Ok(FunctionName::parse(self.text("function"))?)
    }

    pub(crate) fn trigger(&self) -> ApiResult<TriggerName> {
        Ok(TriggerName::parse(self.text("trigger"))?)
    }

    pub(crate) fn cursor(&self) -> ApiResult<CursorName> {
        Ok(CursorName::parse(self.text("cursor"))?)
    }

    pub(crate) fn partition(&self) -> ApiResult<PartitionId> {
        self.number("partition").map(PartitionId)
    }

    pub(crate) fn offset(&self) -> ApiResult<Offset> {
        self.number("offset").map(Offset)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> ApiResult<T> {
        let text = self.text(name);
        let wrong =
            || ApiError::new(Code::InvalidName, format!("`{text}` is no {name}: give a number"));
        text.parse().map_err(|_| wrong().field(name))
    }
}

/// A query. Each parameter is taken once; `finish` refuses what nobody took.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Query {
    pub(crate) fn of(uri: &Uri) -> ApiResult<Self> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let axum::extract::Query(pairs) =
            pairs.map_err(|why| ApiError::new(Code::InvalidParameter, why.to_string()))?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if pairs[..at].iter().any(|(before, _)| before == name) {
                return Err(invalid(name, "given twice"));
            }
        }
        Ok(Self { pairs, known: Vec::new() })
    }

    pub(crate) fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let at = self.pairs.iter().position(|(found, _)| found == name)?;
        Some(self.pairs.swap_remove(at).1)
    }

    pub(crate) fn parsed<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> ApiResult<Option<T>> {
        self.take(name).map(|text| parse(&text).map_err(|why| invalid(name, why))).transpose()
    }

    /// `?force=true`; `?force` alone says the same.
    pub(crate) fn flag(&mut self, name: &'static str) -> ApiResult<bool> {
        let flag = self.parsed(name, |text| match text {
            "" | "true" => Ok(true),
            "false" => Ok(false),
            other => Err(format!("`{other}` is not `true` or `false`")),
        })?;
        Ok(flag.unwrap_or(false))
    }

    /// A whole number within bounds, both inclusive.
    pub(crate) fn integer(
        &mut self,
        name: &'static str,
        default: u64,
        min: u64,
        max: u64,
    ) -> ApiResult<u64> {
        let found = self.parsed(name, |text| match text.parse() {
            Ok(found) if (min..=max).contains(&found) => Ok(found),
            _ => Err(format!("`{text}` is no whole number from {min} to {max}")),
        })?;
        Ok(found.unwrap_or(default))
    }

    /// What of a list is asked for.
    pub(crate) fn page(&mut self) -> ApiResult<Page> {
        let limit = self.integer("limit", Page::LIMIT, 1, Page::LIMIT_MAX)? as usize;
        Ok(Page { limit, after: self.take("after") })
    }

    pub(crate) fn finish(self) -> ApiResult<()> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(ApiError::new(Code::InvalidParameter, unknown("parameter", name, &self.known))
                    .field(name))
            }
        }
    }
}

/// For calls that take no parameter at all.
pub(crate) fn no_query(uri: &Uri) -> ApiResult<()> {
    if uri.query().is_none() { Ok(()) } else { Query::of(uri)?.finish() }
}

pub(crate) fn invalid(name: &str, why: impl Display) -> ApiError {
    ApiError::new(Code::InvalidParameter, format!("`{name}`: {why}")).field(name)
}

/// A stretch of a list that is sorted by name.
#[derive(Debug)]
pub(crate) struct Page {
    limit: usize,
    after: Option<String>,
}

impl Page {
    const LIMIT: u64 = 100;
    const LIMIT_MAX: u64 = 1_000;

    /// The items of this page, and the name to go on after if there are more.
    pub(crate) fn cut<T>(
        &self,
        sorted: Vec<T>,
        name: impl Fn(&T) -> &str,
    ) -> (Vec<T>, Option<String>) {
        let after = self.after.as_deref();
        let mut rest =
            sorted.into_iter().filter(|item| after.is_none_or(|after| name(item) > after));
        let page: Vec<T> = rest.by_ref().take(self.limit).collect();
        let next = rest.next().and_then(|_| page.last()).map(|last| name(last).to_owned());
        (page, next)
    }
}

/// The first of `offered` that the caller takes best. Without `Accept`: the first.
pub(crate) fn negotiate(headers: &HeaderMap, offered: &[&'static str]) -> ApiResult<&'static str> {
    let asked: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if asked.is_empty() {
        return Ok(offered[0]);
    }
    let asked = asked.join(",");
    let best = offered.iter().rev().map(|offer| (*offer, weight_of(offer, &asked)));
    match best.max_by_key(|(_, weight)| *weight) {
        Some((offer, weight)) if weight > 0 => Ok(offer),
        _ => Err(ApiError::new(
            Code::NotAcceptable,
            format!(
                "this call does not answer as `{asked}`; it answers as `{}`",
                offered.join("`, `")
            ),
        )
        .field("accept")),
    }
}

/// In thousandths; 0 = not at all. The most exact range that fits counts.
fn weight_of(offer: &str, asked: &str) -> u32 {
    let mut best = (0, 0);
    for range in asked.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let exactness = match kind.as_str() {
            "*/*" => 1,
            kind if kind.strip_suffix('*').is_some_and(|stem| offer.starts_with(stem)) => 2,
            kind if kind == offer => 3,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
        let weight = (quality.unwrap_or(1.0).clamp(0.0, 1.0) * 1_000.0) as u32;
        best = best.max((exactness, weight));
    }
    best.1
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn accept(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(text))])
    }

    #[test]
    fn accept_is_answered_with_the_best_that_is_offered() {
        let offered = ["application/json", "text/event-stream"];
        let best = |asked| negotiate(&accept(asked), &offered).ok();
        assert_eq!(negotiate(&HeaderMap::new(), &offered).ok(), Some("application/json"));
        assert_eq!(best("*/*"), Some("application/json"));
        assert_eq!(best("text/event-stream"), Some("text/event-stream"));
        assert_eq!(best("text/html, */*;q=0.8"), Some("application/json"));
        assert_eq!(best("application/json;q=0.1, text/*"), Some("text/event-stream"));
        assert_eq!(best("application/json;q=0, */*"), Some("text/event-stream"));
        assert_eq!(best("text/html"), None);
        assert_eq!(best(""), None);
    }

    #[test]
    fn a_list_is_cut_into_pages_that_miss_nothing() {
        let all = vec!["a", "b", "c", "d", "e"];
        let mut query = Query::of(&"/?limit=2".parse().expect("a uri")).expect("a query");
        let mut page = query.page().expect("a page");
        query.finish().expect("nothing else");
        let mut seen = Vec::new();
        loop {
            let (items, next) = page.cut(all.clone(), |item| item);
            seen.extend(items);
            if next.is_none() {
                break;
            }
            page.after = next;
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn unknown_and_double_parameters_are_refused() {
        let query = |text: &str| Query::of(&text.parse().expect("a uri"));
        assert!(query("/?a=1&a=2").is_err());
        let mut one = query("/?forse=true").expect("a query");
        assert_eq!(one.flag("force").ok(), Some(false));
        let told = one.finish().expect_err("unknown").to_string();
        assert!(told.ends_with("unknown parameter `forse`; did you mean `force`?"), "{told}");
    }
}
