//! Cursors: opaque to clients, tied to the query that they continue, and refused when changed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, Utc};
use kasparro_core::Decimal;
use kasparro_core::store::page::{AmountColumn, AmountKey, CreatedKey, Sort};
use sha2::{Digest, Sha256};

use crate::problem::{ParameterError, Problem};

/// Longest cursor that is looked at, in characters: the longest amount has 700 digits.
pub(crate) const MAX_CHARS: usize = 2048;

/// Bytes of the checksum. It makes changes evident; what a cursor says is not a secret.
const CHECKSUM_BYTES: usize = 8;

/// Where a page begins.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// The order, positioned behind a row.
    pub(crate) sort: Sort,
    /// Number of rows before the page, so that pages keep their numbers.
    pub(crate) skipped: u64,
}

impl Cursor {
    /// The cursor as text. `query` is what it is tied to.
    pub(crate) fn encode(&self, query: &str) -> String {
        let fields = match &self.sort {
            Sort::Created(Some(key)) => format!(
                "{},{},{},{}",
                key.created_at.timestamp_micros(),
                key.batch_id,
                key.coin_id,
                key.observed_at.timestamp_micros()
            ),
            Sort::Amount(_, Some(key)) => format!(
                "{},{},{}",
                key.amount.as_ref().map(Decimal::as_str).unwrap_or_default(),
                key.coin_id,
                key.observed_at.timestamp_micros()
            ),
            Sort::Created(None) | Sort::Amount(_, None) => String::new(),
        };
        seal(query, &format!("{},{fields}", self.skipped))
    }

    /// Reads a cursor of a query that is sorted like `sort`; `None` when it is not one, was changed, or belongs
    /// to another query.
    pub(crate) fn decode(text: &str, query: &str, sort: &Sort) -> Option<Self> {
        let payload = unseal(text, query)?;
        let mut fields = payload.split(',');
        let skipped = fields.next()?.parse().ok()?;
        let sort = match sort {
            Sort::Created(_) => Sort::Created(Some(created_key(&mut fields)?)),
            Sort::Amount(column, _) => amount_sort(*column, &mut fields)?,
        };
        fields.next().is_none().then_some(Self { sort, skipped })
    }
}

/// A position as opaque text, tied to a query.
pub(crate) fn seal(query: &str, position: &str) -> String {
    let mut bytes = checksum(query, position.as_bytes()).to_vec();
    bytes.extend_from_slice(position.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position that [`seal`] was given; `None` when the text was changed, or belongs to another query.
pub(crate) fn unseal(text: &str, query: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (sum, position) = bytes.split_at_checked(CHECKSUM_BYTES)?;
    (sum == checksum(query, position)).then(|| String::from_utf8(position.to_vec()).ok())?
}

/// The refusal of a cursor that is none of the query's.
pub(crate) fn foreign() -> Problem {
    Problem::parameters(vec![ParameterError {
        parameter: "cursor".to_owned(),
        message: "it is not a cursor of this query".to_owned(),
        allowed: "`next_cursor` of a page of the same query".to_owned(),
    }])
}

fn created_key<'a>(fields: &mut impl Iterator<Item = &'a str>) -> Option<CreatedKey> {
    Some(CreatedKey {
        created_at: time(fields.next()?)?,
        batch_id: fields.next()?.parse().ok()?,
        coin_id: fields.next()?.parse().ok()?,
        observed_at: time(fields.next()?)?,
    })
}

fn amount_sort<'a>(column: AmountColumn, fields: &mut impl Iterator<Item = &'a str>) -> Option<Sort> {
    let amount = match fields.next()? {
        "" => None,
        digits => Some(Decimal::parse(digits).ok()?),
    };
    let (coin_id, observed_at) = (fields.next()?.parse().ok()?, time(fields.next()?)?);
    Some(Sort::Amount(column, Some(AmountKey { amount, coin_id, observed_at })))
}

/// A time in microseconds since 1970, UTC, within what the database can hold.
fn time(micros: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
    (1..=9999).contains(&time.year()).then_some(time)
}

fn checksum(query: &str, payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hash = Sha256::new();
    hash.update(b"kasparro cursor 1\0");
    hash.update(query.as_bytes());
    hash.update(b"\0");
    hash.update(payload);
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hash.finalize()[..CHECKSUM_BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(amount: Option<&str>) -> Cursor {
        let key = AmountKey {
            amount: amount.map(|digits| Decimal::parse(digits).unwrap()),
            coin_id: 7,
            observed_at: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
        };
        Cursor { sort: Sort::Amount(AmountColumn::PriceUsd, Some(key)), skipped: 20 }
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let begin = Sort::Amount(AmountColumn::PriceUsd, None);
        for amount in
            [None, Some("0.000000001230"), Some("1175613768269129055911262697748936469694174461952.10")]
        {
            let cursor = price(amount);
            let read = Cursor::decode(&cursor.encode("q"), "q", &begin).unwrap();
            assert_eq!(format!("{read:?}"), format!("{cursor:?}"));
        }
    }

    #[test]
    fn a_changed_or_foreign_cursor_is_refused() {
        let begin = Sort::Amount(AmountColumn::PriceUsd, None);
        let text = price(Some("1.5")).encode("q");
        assert!(Cursor::decode(&text, "another", &begin).is_none());
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(Cursor::decode(std::str::from_utf8(&changed).unwrap(), "q", &begin).is_none(), "{at}");
        }
        for text in ["", "x", "AAAA", "-", "AAAAAAAAAAAAAAAA"] {
            assert!(Cursor::decode(text, "q", &begin).is_none());
        }
    }

    proptest::proptest! {
        /// Also under a seal that fits, which who reads the source can make.
        #[test]
        fn whatever_is_sent_is_a_cursor_or_none(text in ".{0,80}", payload in "([-.0-9a-z]{0,18},){2,4}[0-9]{0,18}") {
            for sort in [Sort::Amount(AmountColumn::PriceUsd, None), Sort::Created(None)] {
                proptest::prop_assert!(Cursor::decode(&text, "q", &sort).is_none());
                if let Some(cursor) = Cursor::decode(&seal("q", &payload), "q", &sort) {
                    let again = Cursor::decode(&cursor.encode("q"), "q", &sort).unwrap();
                    proptest::prop_assert_eq!(format!("{again:?}"), format!("{cursor:?}"));
                }
            }
        }
    }
}
