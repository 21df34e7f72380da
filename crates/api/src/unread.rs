//! Bodies of requests. No route reads one: it is refused rather than ignored, and never waited for.

use actix_web::HttpMessage as _;
use actix_web::body::BoxBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};

use crate::outlived::Outlived;
use crate::problem::{Code, Problem};

/// The body of a request, kept until the answer is sent.
///
/// The library would read on and on what a handler has dropped, at the pace of the client, to use the connection
/// again; one that is unread at the end of the answer makes it close the connection instead.
pub(crate) struct Unread(Payload);

impl Unread {
    /// The body of a request; `None` when it has none.
    pub(crate) fn of(request: &mut ServiceRequest) -> Option<Self> {
        let headers = request.headers();
        let length = headers.get(header::CONTENT_LENGTH);
        let has_body = headers.contains_key(header::TRANSFER_ENCODING)
            || length.is_some_and(|length| length.as_bytes().iter().any(|digit| *digit != b'0'));
        has_body.then(|| Self(request.take_payload()))
    }

    /// Whether a request may have one. Methods that are not allowed are told just that.
    pub(crate) fn check(unread: Option<&Self>, method: &Method) -> Result<(), Problem> {
        match (unread, method) {
            (Some(_), &Method::GET | &Method::HEAD) => Err(Problem::new(
                Code::ContentTooLarge,
                "no route reads a body: send parameters in the address",
            )),
            _ => Ok(()),
        }
    }

    /// Keeps it until the answer is sent.
    pub(crate) fn outlive(self, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        response.map_body(|_, body| BoxBody::new(Outlived { body, _with: self.0 }))
    }
}
