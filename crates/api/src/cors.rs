//! Which pages of other origins may read the answers: none, unless they are configured.

use std::fmt;

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// What pages may send along besides what every request may.
const ALLOWED_HEADERS: &str =
    "accept, authorization, if-modified-since, if-none-match, x-api-key, x-request-id";

/// What pages may read besides the few headers that every page may.
const EXPOSED_HEADERS: &str = "content-disposition, etag, link, ratelimit, ratelimit-policy, retry-after, \
     server-timing, x-data-version, x-request-id, x-total-count";

/// Seconds for which a browser remembers what it was told.
const MAX_AGE_SECS: &str = "3600";

/// The origins whose pages may read the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    credentials: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origins {
    Any,
    Listed(Vec<String>),
}

impl Cors {
    /// Reads origins such as `https://example.org` between commas, or `*` for all of them. `credentials`: whether pages
    /// may send cookies and the like, which some proxy in front may want.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn parse(list: &str, credentials: bool) -> Result<Self, Vec<String>> {
        let origins: Vec<&str> = list.split(',').map(str::trim).filter(|origin| !origin.is_empty()).collect();
        if origins == ["*"] {
            return match credentials {
                false => Ok(Self { origins: Origins::Any, credentials }),
                true => Err(vec![
                    "`*` would let every page act for its visitor: list the origins, or \
                                  allow no credentials"
                        .to_owned(),
                ]),
            };
        }
        let problems: Vec<String> = origins
            .iter()
            .filter(|origin| !is_origin(origin))
            .map(|origin| format!("{origin:?} is not an origin such as https://example.org"))
            .collect();
        match problems.is_empty() {
            true => {
                let listed = origins.into_iter().map(str::to_owned).collect();
                Ok(Self { origins: Origins::Listed(listed), credentials })
            }
            false => Err(problems),
        }
    }

    /// The answer to a browser that asks beforehand what a page may do; `None` when it is no such question, or not
    /// from a page that may do anything.
    pub(crate) fn preflight(&self, request: &ServiceRequest) -> Option<HttpResponse> {
        let headers = request.headers();
        let asks = request.method() == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        self.allowed(headers).filter(|_| asks)?;
        let mut response = HttpResponse::NoContent();
        response
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"))
            .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS))
            .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS));
        Some(response.finish())
    }

    /// What an answer is to say to a request with these headers.
    pub(crate) fn verdict(&self, request: &HeaderMap) -> Verdict {
        Verdict {
            allowed: self.allowed(request),
            credentials: self.credentials,
            varies: self.origins != Origins::Any,
        }
    }

    /// The value of `Access-Control-Allow-Origin` for a request.
    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        match &self.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            Origins::Listed(listed) => {
                listed.iter().any(|known| known.as_bytes() == origin.as_bytes()).then(|| origin.clone())
            }
        }
    }
}

impl fmt::Display for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origins {
            Origins::Any => f.write_str("*")?,
            Origins::Listed(listed) => f.write_str(&listed.join(", "))?,
        }
        f.write_str(if self.credentials { " with credentials" } else { "" })
    }
}

/// What an answer is to say about origins.
pub(crate) struct Verdict {
    allowed: Option<HeaderValue>,
    credentials: bool,
    /// Whether the answer depends on the origin.
    varies: bool,
}

impl Verdict {
    /// Says it.
    pub(crate) fn put_on(self, headers: &mut HeaderMap) {
        if self.varies {
            vary(headers, "Origin");
        }
        let Some(origin) = self.allowed else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED_HEADERS));
        headers.insert(header::CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// Adds a name to what an answer depends on.
fn vary(headers: &mut HeaderMap, name: &str) {
    const VARY: HeaderName = header::VARY;
    let known = headers.get_all(VARY).filter_map(|value| value.to_str().ok());
    let all = known.chain([name]).collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::from_str(&all) {
        headers.insert(VARY, value);
    }
}

/// Whether a browser would ever send it so: scheme, host and port, nothing else.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let is_exact = url.origin().ascii_serialization() == text && !text.contains('*');
        matches!(url.scheme(), "http" | "https") && is_exact
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_a_browser_sends() {
        for good in
            ["https://example.org", "http://localhost:3000", "https://a.example, https://b.example:8443", "*"]
        {
            assert!(Cors::parse(good, false).is_ok(), "{good}");
        }
        for bad in [
            "example.org",
            "https://example.org/",
            "https://example.org:443",
            "https://Example.org",
            "https://*.example.org",
            "null",
            "*, https://example.org",
            "ftp://example.org",
            "https://user@example.org",
        ] {
            assert!(Cors::parse(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn everybody_never_gets_credentials() {
        assert!(Cors::parse("*", true).is_err());
        assert!(Cors::parse("https://example.org", true).is_ok());
    }
}
