//! The service, remembering what it answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_http::{Request, Response};
use actix_web::body::{BodySize, BoxBody, MessageBody as _};
use actix_web::dev::{Service, ServiceFactory, ServiceResponse};
use actix_web::http::{Method, StatusCode, Version, header};
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage as _, HttpResponse};

use super::kept::Worker;
use super::lane::Link;
use crate::observe::pattern;
use crate::outlived::Outlived;

/// The longest head of an answer after which the lane can tell its end: the library writes a longer one in pieces.
const LONGEST_HEAD: usize = 16 * 1024;

/// In the extensions of a request whose answer may be given again: the number of the overview that it is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeatable(pub(crate) u64);

/// Makes a service remember its answers.
pub(crate) struct Remembering<F> {
    pub(crate) inner: F,
    pub(crate) worker: Rc<Worker>,
}

impl<F> ServiceFactory<Request> for Remembering<F>
where
    F: ServiceFactory<Request, Config = (), Response = ServiceResponse<BoxBody>, Error = Error>,
    F::Future: 'static,
    <F::Service as Service<Request>>::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Config = ();
    type Service = RememberingService<F::Service>;
    type InitError = F::InitError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Service, Self::InitError>>>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (inner, worker) = (self.inner.new_service(()), Rc::clone(&self.worker));
        Box::pin(async move { Ok(RememberingService { inner: inner.await?, worker }) })
    }
}

/// A service that remembers its answers.
pub(crate) struct RememberingService<S> {
    inner: S,
    worker: Rc<Worker>,
}

impl<S> Service<Request> for RememberingService<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
    S::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<BoxBody>, Infallible>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // One that is not ready for good answers with its error.
        self.inner.poll_ready(context).map(|_| Ok(()))
    }

    fn call(&self, request: Request) -> Self::Future {
        let link = request.conn_data::<Rc<Link>>().cloned();
        if let Some(link) = link.as_ref().filter(|_| !is_bare(&request)) {
            link.give_up();
        }
        let unfinished = link.as_ref().map(Link::begin_answer);
        let is_plain = self.worker.is_open() && is_plain(&request);
        let (answer, worker) = (self.inner.call(request), Rc::clone(&self.worker));
        Box::pin(async move {
            let answer = match answer.await {
                Ok(answer) => answer,
                Err(error) => return Ok(error.error_response().into()),
            };
            let repeatable = answer.request().extensions().get::<Repeatable>().copied();
            let route = pattern(answer.request());
            let (response, body) = whole(answer.into());
            let Some(link) = link else { return Ok(response) };
            match body.filter(|_| has_short_head(&response)) {
                Some(body) => {
                    let request = link.answered().filter(|_| is_plain && response.status() == StatusCode::OK);
                    if let Some((request, Repeatable(revision))) = request.zip(repeatable) {
                        worker.keep(request, revision, route, response.headers(), &body);
                    }
                }
                None => {
                    link.give_up();
                    return Ok(
                        response.map_body(|_, body| BoxBody::new(Outlived { body, _with: unfinished }))
                    );
                }
            }
            Ok(response)
        })
    }
}

/// Whether nothing belongs to the request but its head.
fn is_bare(request: &Request) -> bool {
    let more = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE, header::EXPECT];
    !more.iter().any(|name| request.headers().contains_key(name))
}

/// Whether the answer depends on nothing but the bytes of the request, and the connection goes on behind it.
fn is_plain(request: &Request) -> bool {
    let is_usual = request.headers().iter().all(|(name, value)| match *name {
        header::CONNECTION => value.as_bytes().eq_ignore_ascii_case(b"keep-alive"),
        header::ACCEPT
        | header::ACCEPT_ENCODING
        | header::ACCEPT_LANGUAGE
        | header::HOST
        | header::USER_AGENT => true,
        _ => false,
    });
    is_usual && request.method() == Method::GET && request.version() == Version::HTTP_11
}

/// The body of a response that is there as a whole, beside the response.
fn whole(response: HttpResponse) -> (Response<BoxBody>, Option<Bytes>) {
    let (response, body) = response.into_parts();
    let (body, bytes) = match body.size() {
        BodySize::None => (body, Some(Bytes::new())),
        BodySize::Stream => (body, None),
        BodySize::Sized(_) => match body.try_into_bytes() {
            Ok(bytes) => (BoxBody::new(bytes.clone()), Some(bytes)),
            Err(body) => (body, None),
        },
    };
    (response.set_body(body).into(), bytes)
}

fn has_short_head(response: &Response<BoxBody>) -> bool {
    let lines = response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    lines.sum::<usize>() <= LONGEST_HEAD
}
