//! Who may call: bearer tokens, and (against DNS rebinding and forged browser requests) the `Host` and
//! `Origin` that a call comes with. Never what a call does.
use std::{fs, io, path::Path};

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use log_contract::Digest;
use subtle::ConstantTimeEq as _;

use super::error::{ApiError, ApiResult, Code};

/// Which calls the listener lets in.
#[derive(Debug, Default)]
pub struct Access {
    /// Digests of the tokens, so that all comparisons are of one length. Empty: no token needed.
    tokens: Vec<Digest>,
    /// Whether the listener is reachable from this machine only.
    is_loopback: bool,
}

impl Access {
    /// Everybody who can connect.
    #[must_use]
    pub fn open(is_loopback: bool) -> Self {
        Self { tokens: Vec::new(), is_loopback }
    }

    /// Those who have one of the tokens of the file: one a line; blank lines and `#` comments are skipped.
    ///
    /// # Errors
    /// The file cannot be read or holds no token.
    pub fn with_token_file(path: &Path, is_loopback: bool) -> io::Result<Self> {
        warn_if_others_read(path);
        let text = fs::read_to_string(path).map_err(|why| {
            io::Error::new(why.kind(), format!("token file `{}`: {why}", path.display()))
        })?;
        let lines =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let tokens: Vec<_> = lines.map(|token| Digest::of(token.as_bytes())).collect();
        if tokens.is_empty() {
            let message =
                format!("token file `{}` holds no token: write one a line", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Self { tokens, is_loopback })
    }

    /// Whether a call may go on.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> ApiResult<()> {
        self.check_host(uri, headers)?;
        self.check_origin(headers)?;
        if matches!(uri.path(), "/livez" | "/readyz") { Ok(()) } else { self.check_token(headers) }
    }

    /// A page of another site whose name was made to point here still says its own name.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> ApiResult<()> {
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
        let mut named = [host, authority].into_iter().flatten();
        if !self.is_loopback || named.all(is_loopback_name) {
            return Ok(());
        }
        let message = "`Host` is no name of this machine, and the server listens on loopback only";
        Err(ApiError::new(Code::ForbiddenHost, message).field("host").hint(
            "call it as `localhost` or `127.0.0.1`; a proxy in front must send such a `Host`",
        ))
    }

    /// A browser says for which page it calls: only our own may. With a token no other page can call,
    /// unless the listener is on loopback, where we are strict anyway.
    fn check_origin(&self, headers: &HeaderMap) -> ApiResult<()> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        if !self.is_loopback && !self.tokens.is_empty() {
            return Ok(());
        }
        let origin = origin.as_bytes();
        let site = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        if site.is_some_and(|site| Some(site) == host) {
            return Ok(());
        }
        let message = "`Origin` is another site than the server's own";
        Err(ApiError::new(Code::ForbiddenOrigin, message).field("origin"))
    }

    /// Whether a caller of a probe, which needs no token, may see what only those with one see.
    pub(crate) fn is_known(&self, headers: &HeaderMap) -> bool {
        self.check_token(headers).is_ok()
    }

    fn check_token(&self, headers: &HeaderMap) -> ApiResult<()> {
        if self.tokens.is_empty() {
            return Ok(());
        }
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let token = given.and_then(|given| match given.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
                Some(token.trim_ascii())
            }
            _ => None,
        });
        let refused = |message: &str| {
            Err(ApiError::new(Code::Unauthorized, message)
                .hint("send `Authorization: Bearer …` with a token of the server's token file")
                .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
        };
        let Some(token) = token else { return refused("a token is needed") };
        let token = Digest::of(token);
        // Looks at all of them, whichever fits.
        let fits = self
            .tokens
            .iter()
            .fold(subtle::Choice::from(0), |fits, known| fits | known.0.ct_eq(&token.0));
        if bool::from(fits) { Ok(()) } else { refused("the token is not known") }
    }
}

fn warn_if_others_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let is_open = fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0);
    if is_open {
        tracing::warn!(file = %path.display(), "others on this machine can read the token file: chmod 600");
    }
}

fn is_loopback_name(authority: &[u8]) -> bool {
    let Ok(authority) = std::str::from_utf8(authority) else { return false };
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(
        access: &Access,
        path: &'static str,
        headers: &[(&'static str, &'static str)],
    ) -> Option<Code> {
        let name = |name: &'static str| header::HeaderName::from_static(name);
        let headers =
            headers.iter().map(|(key, value)| (name(key), HeaderValue::from_static(value)));
        access.check(&Uri::from_static(path), &headers.collect()).err().map(|error| error.code())
    }

    #[test]
    fn on_loopback_only_names_of_this_machine_are_answered() {
        let access = Access::open(true);
        for host in ["localhost:8470", "127.0.0.1", "LOCALHOST", "[::1]:80", "127.9.9.9:1"] {
            assert_eq!(code(&access, "/version", &[("host", host)]), None, "{host}");
        }
        for host in
            ["evil.example:8470", "localhost.evil.example", "192.168.0.1", "", "127.0.0.1.nip.io"]
        {
            let told = code(&access, "/version", &[("host", host)]);
            assert_eq!(told, Some(Code::ForbiddenHost), "{host}");
        }
        assert_eq!(code(&access, "http://evil.example/version", &[]), Some(Code::ForbiddenHost));
        assert_eq!(code(&Access::open(false), "/version", &[("host", "streams.example")]), None);
    }

    #[test]
    fn only_our_own_page_may_call_from_a_browser() {
        let access = Access::open(true);
        let call =
            |origin| code(&access, "/version", &[("host", "localhost:8470"), ("origin", origin)]);
        assert_eq!(call("http://localhost:8470"), None);
        for origin in ["http://localhost:3000", "https://evil.example", "null", "localhost:8470"] {
            assert_eq!(call(origin), Some(Code::ForbiddenOrigin), "{origin}");
        }
    }

    #[test]
    fn each_token_of_the_file_opens_and_no_other() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "# ours\nfirst-token\n\n second-token \n").expect("written");
        let access = Access::with_token_file(file.path(), false).expect("tokens");
        let call = |given| code(&access, "/v1/topics", &[("authorization", given)]);
        assert_eq!(call("Bearer first-token"), None);
        assert_eq!(call("bearer second-token"), None);
        for wrong in [
            "Bearer first-toke",
            "Bearer ",
            "Bearer # ours",
            "Basic first-token",
            "first-token",
            "",
        ] {
            assert_eq!(call(wrong), Some(Code::Unauthorized), "{wrong}");
        }
        assert_eq!(code(&access, "/v1/topics", &[]), Some(Code::Unauthorized));
        assert_eq!(code(&access, "/livez", &[]), None);
        assert_eq!(code(&access, "/metrics", &[]), Some(Code::Unauthorized));
        fs::write(file.path(), "# nothing\n").expect("written");
        assert!(Access::with_token_file(file.path(), false).is_err());
    }
}
