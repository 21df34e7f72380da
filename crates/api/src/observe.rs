//! What happens around every request: its id, the body of a failure, and the headers that every answer has.

use std::time::{Duration, Instant};

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, web};
use kasparro_core::log_line::push_thousandths;

use crate::access::Access;
use crate::edge::Edge;
use crate::gate::Ticket;
use crate::metrics::InFlight;
use crate::problem::{Code, PROBLEM_JSON, Problem};
use crate::request_id::RequestId;
use crate::routes::PATTERNS;
use crate::snapshot::Origin;
use crate::unread::Unread;

/// Route of the log line and the metrics of what no route matched.
pub(crate) const UNMATCHED: &str = "unmatched";

/// Name of the header with what an answer took.
pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// JSON needs nothing of a browser.
const JSON_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Swagger UI: scripts from here only, styles within the page, icons as data.
pub(crate) const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The middleware around everything.
pub(crate) async fn every_request(
    edge: web::Data<Edge>,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let in_flight = InFlight::begin(&edge.metrics);
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let route = pattern(request.request());
    let origins = edge.cors.as_ref().map(|cors| cors.verdict(request.headers()));

    let unread = Unread::of(&mut request);

    let wanted = Unread::check(unread.as_ref(), request.method());
    let (ticket, mut response) = answer(&edge, route, wanted, request, next).await?;
    if response.status().is_client_error() || response.status().is_server_error() {
        response = with_problem_body(response, &id);
    }
    let origin = response.request().extensions().get::<Origin>().copied();
    let headers = response.headers_mut();
    add_headers(&edge, &id, headers);
    if let Ok(value) = HeaderValue::try_from(timing(begun.elapsed(), origin)) {
        headers.insert(SERVER_TIMING, value);
    }
    if let Some(ticket) = ticket {
        ticket.put_on(headers);
    }
    if let Some(origins) = origins {
        origins.put_on(headers);
    }
    if edge.draining.has_begun() {
        // The client's next request goes to whoever takes over.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    let access = Access {
        id,
        method: response.request().method().clone(),
        route,
        status: response.status(),
        origin,
        begun,
        in_flight,
    };
    if let Some(unread) = unread {
        response = unread.outlive(response);
    }
    Ok(access.record(response))
}

/// The answer of the route, unless the request is not let through to it.
async fn answer(
    edge: &Edge,
    route: &str,
    wanted: Result<(), Problem>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<(Option<Ticket>, ServiceResponse<BoxBody>), Error> {
    if let Some(preflight) = edge.cors.as_ref().and_then(|cors| cors.preflight(&request)) {
        return Ok((None, request.into_response(preflight)));
    }
    let (ticket, admitted) = match &edge.gate {
        Some(gate) => gate.admit(&request, route),
        None => (None, Ok(())),
    };
    let response = match admitted.and(wanted) {
        Err(problem) => request.error_response(problem),
        // Failures of handlers and extractors are answers by now; only a middleware could fail, and there is none.
        Ok(()) => next.call(request).await?,
    };
    Ok((ticket, response))
}

/// Logs why a request failed.
pub(crate) fn log_cause(request: &HttpRequest, cause: &str) {
    if let Some(id) = request.extensions().get::<RequestId>() {
        write_cause(id, cause);
    }
}

fn write_cause(id: &RequestId, cause: &str) {
    log::error!(request_id = id.as_str(), cause; "a request failed");
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
            problem.body(id.as_str())
        }
        None => {
            Problem::new(Code::of_status(response.status()), detail_of(response.status())).body(id.as_str())
        }
    };
    let status = StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut rendered = HttpResponse::build(status);
    rendered.content_type(PROBLEM_JSON).insert_header((header::CACHE_CONTROL, "no-store"));
    for name in [header::ALLOW, header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
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

fn add_headers(edge: &Edge, id: &RequestId, headers: &mut HeaderMap) {
    id.put_on(headers);
    if let Some(hsts) = &edge.hsts {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
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

/// The value of `Server-Timing`: how long the answer took in milliseconds, and whether it was kept.
pub(crate) fn timing(took: Duration, origin: Option<Origin>) -> String {
    let mut text = String::with_capacity(48);
    text.push_str("app;dur=");
    push_thousandths(&mut text, took.as_micros().try_into().unwrap_or(u64::MAX));
    if let Some(origin) = origin {
        text.push_str(", cache;desc=");
        text.push_str(origin.name());
    }
    text
}

/// The pattern of the route: one of a known few, so that neither log nor metrics grow with what clients invent.
pub(crate) fn pattern(request: &HttpRequest) -> &'static str {
    let matched = request.match_pattern();
    let known = matched.and_then(|matched| PATTERNS.iter().find(|pattern| **pattern == matched));
    known.copied().unwrap_or(UNMATCHED)
}
