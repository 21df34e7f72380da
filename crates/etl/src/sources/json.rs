//! What the JSON sources share: a body becomes records, each taken or refused.

use std::fmt;
use std::marker::PhantomData;

use kasparro_core::{MarketRecord, RejectCode};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::fields::Refusal;
use super::items;
use crate::failure::{FailureKind, SourceError};
use crate::http::Answer;
use crate::source::{Normalised, Provenance, RawBatch};

/// Brings every element of a body to the unified form.
///
/// # Errors
/// When the body is not a list of elements.
pub(super) fn normalise(
    batch: &RawBatch,
    record: impl Fn(&[u8], u32) -> Result<MarketRecord, Refusal>,
) -> Result<Normalised, SourceError> {
    let elements = items::split(&batch.bytes)
        .map_err(|error| SourceError::new(FailureKind::Refused, format!("{}: {error}", batch.origin())))?;
    let mut normalised = Normalised::default();
    for (position, element) in (0..).zip(elements) {
        match record(element, position) {
            Ok(record) => normalised.records.push(record),
            Err(refusal) => normalised.rejects.push(refusal.into_reject(position, element)),
        }
    }
    Ok(normalised)
}

/// A JSON object. Serde takes a list for a struct as well, by the order of the fields.
#[derive(Debug, Default)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// Reads one element; what is not an object of the right shape is refused.
pub(super) fn parse<'a, T: Deserialize<'a>>(element: &'a [u8]) -> Result<T, Refusal> {
    let text = std::str::from_utf8(element)
        .map_err(|error| Refusal::of_record(RejectCode::InvalidText, format!("not UTF-8: {error}")))?;
    serde_json::from_str(text).map(|Object(object)| object).map_err(|error| {
        Refusal::of_record(RejectCode::MalformedRecord, format!("not a readable record: {error}"))
    })
}

/// An answer as a batch.
pub(super) fn batch(answer: Answer, cursor: serde_json::Value) -> RawBatch {
    let Answer { url, status, content_type, body, received_at } = answer;
    RawBatch {
        bytes: body,
        fetched_at: chrono::SubsecRound::trunc_subsecs(received_at, 6),
        provenance: Provenance::Http { url, status, content_type },
        cursor,
        reached: None,
        reread: None,
    }
}

/// A listing without a single coin: what is known stays, and nobody should believe that all is well.
pub(super) fn suspicious_empty(url: &str) -> SourceError {
    let message = format!("{url}: an empty list; what is stored stays as it is");
    SourceError { is_empty_list: true, ..SourceError::new(FailureKind::Refused, message) }
}
