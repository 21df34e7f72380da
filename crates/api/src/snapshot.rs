//! Answers that belong to a version of the data: the entity tag, the check against it, and the read.
//!
//! The version is read first, the data next, and the version again: when both are equal, the data is of that
//! version. That needs no transaction, one round trip less, and works through every pooler and replica.

use actix_web::http::header::{self, EntityTag, HeaderValue, IfNoneMatch};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder};
use kasparro_core::store::version::{self, SourceState};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::db::{Connection, Database, ReadError};
use crate::problem::Problem;

/// How often a read is repeated because a batch was committed meanwhile. What is shown after that is as new as it
/// gets and is labelled with the older version: the next request finds a newer one.
const MOST_READS: usize = 3;

/// Name of the header with the version of the data.
pub(crate) const DATA_VERSION: &str = "X-Data-Version";

/// A client may keep an answer but asks each time whether it still holds: a committed batch shows at once.
const REVALIDATE: &str = "no-cache";

/// What an answer is labelled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    tag: String,
    data_version: String,
}

/// An answer, or the news that the client has it already.
#[derive(Debug)]
pub(crate) enum Snapshot<T> {
    /// The client has it.
    Unchanged(Label),
    /// It is new to the client.
    Fresh(Label, T),
}

/// Reads what `query` returns for the version that the tables are of, unless the client has that already.
/// `canonical` names route and parameters; `activity` returns what the answer shows beside the data.
pub(crate) async fn read<T, A, F>(
    database: &Database,
    request: &HttpRequest,
    canonical: String,
    activity: fn(&mut Connection) -> Result<A, ReadError>,
    query: F,
) -> Result<Snapshot<T>, Problem>
where
    T: Send + 'static,
    A: Serialize + PartialEq + 'static,
    F: Fn(&mut Connection, &[SourceState], &A) -> Result<T, ReadError> + Send + 'static,
{
    let known = known_tags(request);
    database
        .read(move |connection| {
            let mut version = (version::sources(connection)?, activity(connection)?);
            let mut reads = 1;
            loop {
                let label = Label::new(&canonical, &version);
                if known.as_ref().is_some_and(|known| label.is_known(known)) {
                    return Ok(Snapshot::Unchanged(label));
                }
                let answer = query(connection, &version.0, &version.1)?;
                let after = (version::sources(connection)?, activity(connection)?);
                if after == version || reads == MOST_READS {
                    return Ok(Snapshot::Fresh(label, answer));
                }
                version = after;
                reads += 1;
            }
        })
        .await
}

/// For answers that show nothing but data.
pub(crate) fn only_data(_: &mut Connection) -> Result<(), ReadError> {
    Ok(())
}

impl Label {
    fn new<A: Serialize>(canonical: &str, (sources, activity): &(Vec<SourceState>, A)) -> Self {
        let data = serde_json::to_vec(sources).unwrap_or_default();
        let activity = serde_json::to_vec(activity).unwrap_or_default();
        // Another program may give the same data another shape.
        let program = env!("CARGO_PKG_VERSION").as_bytes();
        Self {
            tag: hex_hash(&[program, canonical.as_bytes(), &data, &activity], 16),
            data_version: hex_hash(&[&data], 8),
        }
    }

    /// Weak comparison, as RFC 9110 section 13.1.2 asks for.
    fn is_known(&self, known: &IfNoneMatch) -> bool {
        match known {
            IfNoneMatch::Any => true,
            IfNoneMatch::Items(tags) => tags.iter().any(|tag| tag.tag() == self.tag),
        }
    }

    fn put_on(&self, response: &mut HttpResponseBuilder) {
        response
            .insert_header(header::ETag(EntityTag::new_strong(self.tag.clone())))
            .insert_header((header::CACHE_CONTROL, REVALIDATE));
        if let Ok(version) = HeaderValue::from_str(&self.data_version) {
            response.insert_header((DATA_VERSION, version));
        }
    }
}

impl<T: Serialize> Snapshot<T> {
    /// The response, with `decorate` adding headers to a fresh one.
    pub(crate) fn respond(self, decorate: impl FnOnce(&T, &mut HttpResponseBuilder)) -> HttpResponse {
        match self {
            Self::Unchanged(label) => {
                let mut response = HttpResponse::NotModified();
                label.put_on(&mut response);
                response.finish()
            }
            Self::Fresh(label, body) => {
                let mut response = HttpResponse::Ok();
                label.put_on(&mut response);
                decorate(&body, &mut response);
                response.json(body)
            }
        }
    }
}

/// A header that cannot be read is none: the client gets the whole answer.
fn known_tags(request: &HttpRequest) -> Option<IfNoneMatch> {
    request
        .headers()
        .contains_key(header::IF_NONE_MATCH)
        .then(|| request.get_header::<IfNoneMatch>())
        .flatten()
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
