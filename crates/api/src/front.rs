//! Answers that a worker has given a moment ago, given again before anything else looks at the request.
//!
//! Routing, parsing and looking up take longer than the answer itself when many clients ask for the same. So each
//! worker keeps what it sent last, under the bytes of the request, without a lock: for [`LIFETIME`], and only as long
//! as the tables are known to say what they said then. Whatever is special about a request (conditions, a body, an id
//! of its own, keys, another origin) takes the long way.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_http::{Request, Response};
use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::{AppConfig, Service, ServiceFactory, ServiceResponse, forward_ready};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes};
use actix_web::{Error, HttpMessage as _, HttpResponse};

use crate::access::Finished;
use crate::edge::Edge;
use crate::observe::{SERVER_TIMING, add_timing, pattern};
use crate::request_id::{REQUEST_ID, RequestId};
use crate::snapshot::{Origin, Snapshots};

/// How long an answer is given again. Longer gains nothing: making it anew every so often costs next to nothing.
const LIFETIME: Duration = Duration::from_millis(250);

/// How many bytes of answers a worker keeps, their addresses and headers included.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The largest body that is kept.
const LARGEST_BODY: usize = 64 * 1024;

/// The longest address that is kept.
const LONGEST_ADDRESS: usize = 512;

/// What headers and bookkeeping of an answer occupy, in bytes, about.
const OVERHEAD: usize = 4 * 1024;

/// In the extensions of a request whose answer may be given again: the number of the overview that it is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeatable(pub(crate) u64);

/// Puts the front before a service.
pub(crate) struct Front<F> {
    pub(crate) inner: F,
    pub(crate) edge: web::Data<Edge>,
    pub(crate) snapshots: web::Data<Snapshots>,
}

impl<F> ServiceFactory<Request> for Front<F>
where
    F: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<BoxBody>, Error = Error>,
    F::Future: 'static,
    <F::Service as Service<Request>>::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Config = AppConfig;
    type Service = FrontService<F::Service>;
    type InitError = F::InitError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Service, Self::InitError>>>>;

    fn new_service(&self, config: AppConfig) -> Self::Future {
        let inner = self.inner.new_service(config);
        let worker = Rc::new(Worker {
            edge: self.edge.clone(),
            snapshots: self.snapshots.clone(),
            kept: RefCell::default(),
        });
        Box::pin(async move { Ok(FrontService { inner: inner.await?, worker }) })
    }
}

/// The front of one worker.
pub(crate) struct FrontService<S> {
    inner: S,
    worker: Rc<Worker>,
}

struct Worker {
    edge: web::Data<Edge>,
    snapshots: web::Data<Snapshots>,
    kept: RefCell<Kept>,
}

#[derive(Default)]
struct Kept {
    answers: HashMap<Box<str>, Vec<Answer>>,
    bytes: usize,
}

/// An answer without what is of one request.
struct Answer {
    form: Form,
    revision: u64,
    made: Instant,
    route: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// What of a request decides about the form of its answer, besides the address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Form {
    accept: Option<HeaderValue>,
    accept_encoding: Option<HeaderValue>,
}

impl<S> Service<Request> for FrontService<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
    S::Future: 'static,
{
    type Response = Response<BoxBody>;
    type Error = Error;
    type Future = Answering;

    forward_ready!(inner);

    fn call(&self, request: Request) -> Self::Future {
        let begun = Instant::now();
        let Some(form) = self.worker.repeatable_form(&request) else {
            let answer = self.inner.call(request);
            return Answering::Later(Box::pin(async move { Ok(answer.await?.into()) }));
        };
        let address = request.uri().path_and_query().map_or("/", |address| address.as_str());
        if let Some(response) = self.worker.repeat(address, &form, begun) {
            return Answering::Now(Some(response));
        }
        let (address, form) = (Box::from(address), form.cloned());
        let (answer, worker) = (self.inner.call(request), Rc::clone(&self.worker));
        Answering::Later(Box::pin(async move { Ok(worker.keep(address, form, answer.await?)) }))
    }
}

/// An answer, given or on its way.
pub(crate) enum Answering {
    /// `None` once it was taken.
    Now(Option<Response<BoxBody>>),
    Later(Pin<Box<dyn Future<Output = Result<Response<BoxBody>, Error>>>>),
}

impl Future for Answering {
    type Output = Result<Response<BoxBody>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Now(response) => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            Self::Later(answer) => answer.as_mut().poll(context),
        }
    }
}

/// The headers that decide about the form of an answer, as they came.
#[derive(Clone, Copy, Default)]
struct Asked<'r> {
    accept: Option<&'r HeaderValue>,
    accept_encoding: Option<&'r HeaderValue>,
}

impl Asked<'_> {
    fn cloned(self) -> Form {
        Form { accept: self.accept.cloned(), accept_encoding: self.accept_encoding.cloned() }
    }

    fn is(&self, form: &Form) -> bool {
        self.accept == form.accept.as_ref() && self.accept_encoding == form.accept_encoding.as_ref()
    }
}

impl Worker {
    /// Which form the request asks for; `None` when there is more to it.
    fn repeatable_form<'r>(&self, request: &'r Request) -> Option<Asked<'r>> {
        let is_plain =
            self.edge.gate.is_none() && self.edge.cors.is_none() && !self.edge.draining.has_begun();
        if !is_plain
            || request.method() != Method::GET
            || request.uri().path_and_query()?.as_str().len() > LONGEST_ADDRESS
        {
            return None;
        }
        let mut asked = Asked::default();
        for (name, value) in request.headers() {
            let place = match *name {
                header::ACCEPT => &mut asked.accept,
                header::ACCEPT_ENCODING => &mut asked.accept_encoding,
                header::HOST | header::USER_AGENT | header::CONNECTION | header::ACCEPT_LANGUAGE => continue,
                _ => return None,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        Some(asked)
    }

    /// What was answered a moment ago, if it still holds.
    fn repeat(&self, address: &str, asked: &Asked<'_>, begun: Instant) -> Option<Response<BoxBody>> {
        let kept = self.kept.borrow();
        let answer = kept.answers.get(address)?.iter().find(|answer| asked.is(&answer.form))?;
        let holds = begun.duration_since(answer.made) < LIFETIME
            && self.snapshots.revision(begun) == Some(answer.revision);
        if !holds {
            return None;
        }
        let id = RequestId::new();
        let mut response = Response::with_body(StatusCode::OK, BoxBody::new(answer.body.clone()));
        let headers = response.headers_mut();
        // One by one: a clone of the map would throw away the space that the library keeps for it.
        for (name, value) in &answer.headers {
            headers.append(name.clone(), value.clone());
        }
        id.put_on(headers);
        let took = begun.elapsed();
        add_timing(took, Some(Origin::Hit), headers);
        let finished = Finished {
            id: &id,
            method: &Method::GET,
            route: answer.route,
            status: StatusCode::OK,
            origin: Some(Origin::Hit),
            took,
            bytes: answer.body.len() as u64,
            is_whole: true,
        };
        finished.write(&self.edge.metrics);
        Some(response)
    }

    /// Keeps an answer if it may be given again.
    fn keep(&self, address: Box<str>, form: Form, response: ServiceResponse<BoxBody>) -> Response<BoxBody> {
        let repeatable = response.request().extensions().get::<Repeatable>().copied();
        let route = pattern(response.request());
        let response = HttpResponse::from(response);
        let Some(Repeatable(revision)) = repeatable.filter(|_| response.status() == StatusCode::OK) else {
            return response.into();
        };
        let (response, body) = response.into_parts();
        let body = match body.try_into_bytes() {
            Ok(body) if body.len() <= LARGEST_BODY => body,
            Ok(body) => return response.set_body(BoxBody::new(body)).into(),
            Err(body) => return response.set_body(body).into(),
        };
        let lasting =
            response.headers().iter().filter(|(name, _)| ![REQUEST_ID, SERVER_TIMING].contains(name));
        let headers = lasting.map(|(name, value)| (name.clone(), own(value))).collect();
        let own_body = Bytes::copy_from_slice(&body);
        let answer = Answer { form, revision, made: Instant::now(), route, headers, body: own_body };
        self.kept.borrow_mut().add(address, answer);
        response.set_body(BoxBody::new(body)).into()
    }
}

/// A copy that no other worker counts the users of: two cores that count in one place wait for each other.
fn own(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

impl Kept {
    fn add(&mut self, address: Box<str>, answer: Answer) {
        let size = |answer: &Answer| LONGEST_ADDRESS + answer.body.len() + OVERHEAD;
        if self.bytes + size(&answer) > MOST_BYTES {
            // What is asked for again and again is back at once.
            *self = Self::default();
        }
        self.bytes += size(&answer);
        let answers = self.answers.entry(address).or_default();
        if let Some(place) = answers.iter().position(|kept| kept.form == answer.form) {
            self.bytes -= size(&answers.swap_remove(place));
        }
        answers.push(answer);
    }
}
