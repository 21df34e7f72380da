//! What happens around every request: its id, its log line, its metrics, the body of a failure, and the headers
//! that every answer has.

use std::time::{Duration, Instant};

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, web};
use log::Level;

use crate::metrics::Metrics;
use crate::problem::{Code, PROBLEM_JSON, Problem};
use crate::routes::PATTERNS;
use crate::snapshot::Origin;

/// Name of the header with the id of a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Route of the log line and the metrics of what no route matched.
pub(crate) const UNMATCHED: &str = "unmatched";

/// JSON needs nothing of a browser.
const JSON_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Swagger UI: scripts from here only, styles within the page, icons as data.
pub(crate) const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// Longest id that is taken over from a client.
const MAX_ID_CHARS: usize = 64;

/// The id of a request, in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The client's own id when it is harmless, else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let harmless = |id: &&str| {
            (1..=MAX_ID_CHARS).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        Self(sent.filter(harmless).map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned))
    }
}

/// The middleware around everything.
pub(crate) async fn every_request(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let metrics = request.app_data::<web::Data<Metrics>>().cloned();
    let _in_flight = metrics.as_ref().map(|metrics| metrics.begin());

    // Failures of handlers and extractors are answers by now; only a middleware could still fail, and there is none.
    let mut response = next.call(request).await?;
    if response.status().is_client_error() || response.status().is_server_error() {
        response = with_problem_body(response, &id);
    }
    let origin = response.request().extensions().get::<Origin>().copied();
    let took = begun.elapsed();
    add_headers(&id, response.headers_mut());
    add_timing(took, origin, response.headers_mut());
    let route = pattern(response.request());
    let (method, status) = (response.request().method().clone(), response.status());
    if let Some(metrics) = &metrics {
        metrics.record(&method, route, status, took);
    }
    let level = if matches!(route, "/livez" | "/readyz" | "/metrics") { Level::Debug } else { Level::Info };
    log::log!(
        target: "kasparro_api::access",
        level,
        "request_id={} method={} route={route} status={} duration_ms={:.3} cache={}",
        id.0,
        known_method(&method),
        status.as_u16(),
        took.as_secs_f64() * 1e3,
        origin.map_or("none", Origin::name),
    );
    Ok(response)
}

/// Logs why a request failed.
pub(crate) fn log_cause(request: &HttpRequest, cause: &str) {
    if let Some(id) = request.extensions().get::<RequestId>() {
        write_cause(id, cause);
    }
}

fn write_cause(id: &RequestId, cause: &str) {
    // A message of the server may have several lines; a line of the log is one line.
    log::error!("request_id={} cause={:?}", id.0, cause.trim_end());
}

/// Gives a failure its body, whoever made it: a handler, an extractor, or the library itself.
fn with_problem_body(response: ServiceResponse<BoxBody>, id: &RequestId) -> ServiceResponse<BoxBody> {
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    if problem.is_none()
        && response.headers().contains_key(header::CONTENT_TYPE)
        && !has_plain_text(&response)
    {
        return response; // an answer of its own, such as that of /health
    }
    let body = match problem {
        Some(problem) => {
            if let Some(cause) = problem.cause() {
                write_cause(id, cause);
            }
            problem.body(&id.0)
        }
        None => Problem::new(Code::of_status(response.status()), detail_of(response.status())).body(&id.0),
    };
    let status = StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut rendered = HttpResponse::build(status);
    rendered.content_type(PROBLEM_JSON).insert_header((header::CACHE_CONTROL, "no-store"));
    for name in [header::ALLOW, header::RETRY_AFTER] {
        if let Some(value) = response.headers().get(&name) {
            rendered.insert_header((name, value.clone()));
        }
    }
    let rendered = rendered.body(serde_json::to_string(&body).unwrap_or_default());
    response.into_response(rendered)
}

fn has_plain_text(response: &ServiceResponse<BoxBody>) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/plain"))
}

fn detail_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => "this route answers GET and HEAD",
        StatusCode::NOT_FOUND => "no route of the service has this path; GET / names the endpoints",
        status if status.is_client_error() => "the request cannot be read",
        _ => "the service failed; its log has more under the request id",
    }
}

fn add_headers(id: &RequestId, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, value);
    }
    let defaults = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, JSON_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in defaults {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// How long the answer took in milliseconds, and whether it was kept.
fn add_timing(took: Duration, origin: Option<Origin>, headers: &mut HeaderMap) {
    let cache = origin.map_or_else(String::new, |origin| format!(", cache;desc={}", origin.name()));
    if let Ok(value) = HeaderValue::from_str(&format!("app;dur={:.3}{cache}", took.as_secs_f64() * 1e3)) {
        headers.insert(HeaderName::from_static("server-timing"), value);
    }
}

/// The pattern of the route: one of a known few, so that neither log nor metrics grow with what clients invent.
fn pattern(request: &HttpRequest) -> &'static str {
    let matched = request.match_pattern();
    let known = matched.and_then(|matched| PATTERNS.iter().find(|pattern| **pattern == matched));
    known.copied().unwrap_or(UNMATCHED)
}

/// The name of a method that HTTP itself knows; a client may send any word.
pub(crate) fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
