//! An answer about data: what it is labelled with, its bytes, and how it meets a conditional request.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::header::{self, EntityTag, HeaderValue, HttpDate, IfModifiedSince, IfNoneMatch};
use actix_web::web::Bytes;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder};
use kasparro_core::store::version::{self, SourceState};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::coding::{Coding, LEAST_BYTES};
use crate::db::ReadError;
use crate::problem::{Code, Problem};

/// Name of the header with the version of the data.
pub(crate) const DATA_VERSION: &str = "X-Data-Version";

/// Name of the header with the number of rows.
pub(crate) const TOTAL_COUNT: &str = "X-Total-Count";

/// A client may keep an answer but asks each time whether it still holds.
const REVALIDATE: &str = "no-cache";

/// Age of the newest batch from which on its time says which data is meant.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What an answer is labelled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    tag: String,
    data_version: String,
    /// When what is shown was written, for answers that show nothing but data.
    written_at: Option<SystemTime>,
}

/// A body with what belongs to it, whatever version it is of.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    content_type: &'static str,
    body: Bytes,
    coding: Coding,
    link: Option<String>,
    /// Number of rows on all pages, for forms that have no place for it.
    total: Option<i64>,
}

/// An answer, or the news that the client has it already (without a body).
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    label: Label,
    rendered: Option<Rendered>,
}

/// What a client says that it has.
#[derive(Clone, Debug)]
pub(crate) enum Conditions {
    /// Nothing, or nothing that can be read.
    None,
    /// Answers of these tags.
    Tags(IfNoneMatch),
    /// The answer of a time.
    Since(SystemTime),
}

impl Label {
    /// Of an answer that the query and the data decide.
    pub(crate) fn of_query(canonical: &str, sources: &[SourceState]) -> Self {
        let data = serialised(sources);
        Self {
            // Another program may give the same data another shape.
            tag: hex_hash(&[env!("CARGO_PKG_VERSION").as_bytes(), canonical.as_bytes(), &data], 16),
            data_version: hex_hash(&[&data], 8),
            written_at: version::newest_batch_at(sources).map(SystemTime::from),
        }
    }

    /// Of an answer that may change without the data.
    pub(crate) fn of_body(name: &str, body: &[u8], sources: &[SourceState]) -> Self {
        Self {
            tag: hex_hash(&[name.as_bytes(), body], 16),
            data_version: hex_hash(&[&serialised(sources)], 8),
            written_at: None,
        }
    }

    /// The version of the data, as hexadecimal digits.
    pub(crate) fn data_version(&self) -> &str {
        &self.data_version
    }

    /// The time for `Last-Modified`, in whole seconds. Not while another batch may still be written in the same
    /// second: two answers would have one time.
    fn last_modified(&self) -> Option<HttpDate> {
        let written_at = self.written_at?;
        let settled = written_at.elapsed().is_ok_and(|age| age >= SETTLED_AFTER);
        settled.then(|| HttpDate::from(written_at))
    }

    /// The headers of the answer.
    pub(crate) fn put_on(&self, response: &mut HttpResponseBuilder, coding: Coding) {
        response
            .insert_header(header::ETag(EntityTag::new_strong(coding.tag(&self.tag))))
            .insert_header((header::VARY, "Accept, Accept-Encoding"))
            .insert_header((header::CACHE_CONTROL, REVALIDATE));
        if let Some(time) = self.last_modified() {
            response.insert_header(header::LastModified(time));
        }
        if let Ok(version) = HeaderValue::from_str(&self.data_version) {
            response.insert_header((DATA_VERSION, version));
        }
    }
}

impl Conditions {
    /// A header that cannot be read is none: the client gets the whole answer. Tags go before the time, as
    /// RFC 9110 section 13.1.3 asks for.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        if request.headers().contains_key(header::IF_NONE_MATCH) {
            return request.get_header().map_or(Self::None, Self::Tags);
        }
        if request.headers().contains_key(header::IF_MODIFIED_SINCE) {
            let since = request.get_header::<IfModifiedSince>();
            return since.map_or(Self::None, |since| Self::Since(since.0.into()));
        }
        Self::None
    }

    /// Whether the client has the answer. Weak comparison, as RFC 9110 section 13.1.2 asks for.
    pub(crate) fn met_by(&self, label: &Label) -> bool {
        match self {
            Self::None => false,
            Self::Tags(IfNoneMatch::Any) => true,
            Self::Tags(IfNoneMatch::Items(tags)) => {
                tags.iter().any(|tag| Coding::bare(tag.tag()) == label.tag)
            }
            Self::Since(time) => {
                label.last_modified().is_some_and(|modified| whole_seconds(modified.into()) <= *time)
            }
        }
    }

    /// In which coding the client has the answer, if it says so.
    pub(crate) fn coding_of(&self, label: &Label) -> Option<Coding> {
        let Self::Tags(IfNoneMatch::Items(tags)) = self else { return None };
        Coding::ALL.into_iter().find(|coding| tags.iter().any(|tag| tag.tag() == coding.tag(&label.tag)))
    }

    /// Whether there are any.
    pub(crate) fn exist(&self) -> bool {
        !matches!(self, Self::None)
    }
}

impl Rendered {
    /// A JSON body.
    pub(crate) fn json<T: Serialize>(value: &T) -> Result<Self, ReadError> {
        let body = serde_json::to_vec(value).map_err(unwritable)?;
        Ok(Self::new("application/json", body))
    }

    /// Any body.
    pub(crate) fn new(content_type: &'static str, body: Vec<u8>) -> Self {
        Self { content_type, body: body.into(), coding: Coding::Identity, link: None, total: None }
    }

    /// Adds the number of rows as a header.
    pub(crate) fn with_total(mut self, total: i64) -> Self {
        self.total = Some(total);
        self
    }

    /// Adds a `Link` header.
    pub(crate) fn with_link(mut self, link: Option<String>) -> Self {
        self.link = link;
        self
    }

    /// The bytes.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }
}

impl Answer {
    /// An answer with a body.
    pub(crate) fn new(label: Label, rendered: Rendered) -> Self {
        Self { label, rendered: Some(rendered) }
    }

    /// The news that the client has the answer.
    pub(crate) fn unchanged(label: Label) -> Self {
        Self { label, rendered: None }
    }

    /// About how many bytes it occupies.
    pub(crate) fn size(&self) -> usize {
        let rendered = self.rendered.as_ref();
        let link = rendered.and_then(|rendered| rendered.link.as_ref()).map_or(0, String::len);
        size_of::<Self>() + self.label.tag.len() + rendered.map_or(0, |rendered| rendered.body.len()) + link
    }

    /// The coding in which the answer goes to a client that prefers this one.
    pub(crate) fn coding_for(&self, preferred: Coding) -> Coding {
        let long = self.rendered.as_ref().is_some_and(|rendered| rendered.body.len() >= LEAST_BYTES);
        if long { preferred } else { Coding::Identity }
    }

    /// Whether the client has it already.
    pub(crate) fn is_known(&self, conditions: &Conditions) -> bool {
        self.rendered.is_none() || conditions.met_by(&self.label)
    }

    /// The same answer in a coding.
    pub(crate) fn coded(&self, coding: Coding) -> Result<Self, Problem> {
        let mut answer = self.clone();
        if let Some(rendered) = answer.rendered.as_mut() {
            let bytes = coding.compress(&rendered.body).map_err(|error| {
                Problem::new(Code::Internal, "the answer cannot be compressed").caused_by(error)
            })?;
            (rendered.body, rendered.coding) = (bytes.into(), coding);
        }
        Ok(answer)
    }

    /// The response for a client. `coding` is that of the tag, for an answer that the client has.
    pub(crate) fn respond(&self, conditions: &Conditions, coding: Coding) -> HttpResponse {
        let Some(rendered) = self.rendered.as_ref().filter(|_| !conditions.met_by(&self.label)) else {
            let mut response = HttpResponse::NotModified();
            self.label.put_on(&mut response, conditions.coding_of(&self.label).unwrap_or(coding));
            return response.finish();
        };
        let mut response = HttpResponse::Ok();
        self.label.put_on(&mut response, rendered.coding);
        if let Some(name) = rendered.coding.name() {
            response.insert_header((header::CONTENT_ENCODING, name));
        }
        response.content_type(HeaderValue::from_static(rendered.content_type));
        if let Some(total) = rendered.total {
            response.insert_header((TOTAL_COUNT, total));
        }
        if let Some(link) = &rendered.link {
            response.insert_header((header::LINK, link.as_str()));
        }
        response.body(rendered.body.clone())
    }
}

/// The failure to write an answer.
pub(crate) fn unwritable(error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::Internal, "the answer cannot be written").caused_by(error)
}

/// HTTP knows no fractions.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn serialised(sources: &[SourceState]) -> Vec<u8> {
    serde_json::to_vec(sources).unwrap_or_default()
}

/// The first bytes of a hash over parts, each with its length, as hexadecimal digits.
fn hex_hash(parts: &[&[u8]], bytes: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}
