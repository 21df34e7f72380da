//! The end of a request: its line in the log and its place in the metrics, once the last byte of the answer is handed
//! over.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::{Method, StatusCode};
use actix_web::web::Bytes;
use log::Level;

use crate::metrics::{InFlight, Metrics};
use crate::request_id::RequestId;
use crate::snapshot::Origin;

/// A request whose answer is on its way to the client.
pub(crate) struct Access {
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    /// Pattern of the route: one of a known few.
    pub(crate) route: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) origin: Option<Origin>,
    pub(crate) begun: Instant,
    pub(crate) in_flight: InFlight,
}

impl Access {
    /// Writes it down at the end of the answer: now if that is whole already, else with the last of its stream.
    pub(crate) fn record(self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        let length = match response.response().body().size() {
            BodySize::None => Some(0),
            BodySize::Sized(length) => Some(length),
            BodySize::Stream => None,
        };
        match length {
            Some(_) if self.method == Method::HEAD => self.finish(0, true),
            Some(length) => self.finish(length, true),
            None => {
                let watch = |_: &mut _, body| BoxBody::new(Watched { body, access: Some(self), bytes: 0 });
                return response.map_body(watch);
            }
        }
        response
    }

    fn finish(self, bytes: u64, is_whole: bool) {
        let Self { id, method, route, status, origin, begun, in_flight } = self;
        let took = begun.elapsed();
        Finished { id: &id, method: &method, route, status, origin, took, bytes, is_whole }
            .write(in_flight.metrics());
    }
}

/// What is written down about a request.
pub(crate) struct Finished<'r> {
    pub(crate) id: &'r RequestId,
    pub(crate) method: &'r Method,
    pub(crate) route: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) origin: Option<Origin>,
    pub(crate) took: Duration,
    /// Length of the body as it was sent.
    pub(crate) bytes: u64,
    /// Whether the client got all of it.
    pub(crate) is_whole: bool,
}

impl Finished<'_> {
    /// Writes it into the metrics and the log.
    pub(crate) fn write(&self, metrics: &Metrics) {
        metrics.record(self.method, self.route, self.status, self.took, self.bytes);
        // What supervisors ask every second would hide the rest.
        let is_probe = matches!(self.route, "/livez" | "/readyz" | "/metrics");
        let level = if is_probe { Level::Debug } else { Level::Info };
        log::log!(
            target: "kasparro_api::access",
            level,
            request_id = self.id.as_str(),
            method = known_method(self.method),
            route = self.route,
            status = self.status.as_u16(),
            duration_ms = self.took.as_micros() as f64 / 1e3,
            bytes = self.bytes,
            cache = self.origin.map_or("none", Origin::name);
            "{}", if self.is_whole { "answered" } else { "broken off" }
        );
    }
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

/// A streamed body that is counted as it goes out.
struct Watched {
    body: BoxBody,
    /// Taken at the end of the stream.
    access: Option<Access>,
    bytes: u64,
}

impl MessageBody for Watched {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = Pin::new(&mut self.body).poll_next(context);
        match &next {
            Poll::Ready(Some(Ok(bytes))) => self.bytes += bytes.len() as u64,
            Poll::Ready(None) => {
                let bytes = self.bytes;
                if let Some(access) = self.access.take() {
                    access.finish(bytes, true);
                }
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        next
    }
}

/// The stream failed, or the client left: dropped before its end.
impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(access) = self.access.take() {
            access.finish(self.bytes, false);
        }
    }
}
