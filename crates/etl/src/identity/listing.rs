//! Listings: the ids and contract addresses that a market source lists, once a day at most. They only help to tell which
//! coins are one; a listing that fails is tried again later and costs the market data nothing.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{Connection, PgConnection, QueryResult};
use kasparro_core::secret::Secret;
use kasparro_core::store::contract::{self, Listed};
use kasparro_core::store::raw::{self, NewBody, Packed};
use kasparro_core::store::source::{Added, LISTING};
use kasparro_core::store::{checkpoint, lease, source};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::database::{self, Attempts};
use crate::failure::{FailureKind, SourceError};
use crate::http::{Answer, Book, Client, Tape, Taping};
use crate::settings::Settings;
use crate::signal::Cancel;
use crate::source::Clock;
use crate::sources;

/// A listing that can be read.
pub(crate) struct Listing {
    /// Key in the database; never changes.
    pub(crate) name: &'static str,
    /// The market source whose ids they are.
    pub(crate) of: &'static str,
    /// Reads all of it.
    pub(crate) read: fn(&Settings, &Client) -> Result<Heard, SourceError>,
}

/// A listing as it was read.
#[derive(Default)]
pub(crate) struct Heard {
    /// By id.
    pub(crate) listed: BTreeMap<String, Listed>,
    /// The bodies, and how many records are in each.
    pub(crate) bodies: Vec<(Answer, usize)>,
}

/// How a listing ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    /// Ids that are listed.
    pub(crate) ids: usize,
    pub(crate) new_addresses: i64,
    pub(crate) ended_addresses: i64,
    /// One sentence.
    pub(crate) failure: Option<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            Some(error) => write!(f, "{} failed, which costs the prices nothing: {error}", self.name),
            None => write!(
                f,
                "{}: {} ids, {} addresses new, {} gone",
                self.name, self.ids, self.new_addresses, self.ended_addresses
            ),
        }
    }
}

/// How long a listing that failed is left alone for each call that it made, and at least: one that fails for ever does not
/// use up the calls that are for the prices.
const PAUSE: TimeDelta = TimeDelta::hours(1);

/// What all listings of a run share.
pub(crate) struct Reading<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) database_url: &'a Secret,
    pub(crate) clock: Clock,
    pub(crate) cancel: &'a Cancel,
    pub(crate) run_id: Option<i64>,
}

impl Reading<'_> {
    /// Reads the listing of a market source, if it is due and nobody else is at it.
    pub(crate) fn read(&self, connection: &mut PgConnection, listing: &Listing) -> Option<Outcome> {
        match self.attempt(connection, listing) {
            Ok(outcome) => outcome,
            Err(error) => {
                if error.kind == FailureKind::Cancelled {
                    return None;
                }
                log::warn!("{}: {error}; the prices are not touched by this", listing.name);
                if let Some(again) = error.not_before {
                    self.remember(connection, listing, again);
                }
                let failure = Some(error.message);
                Some(Outcome { name: listing.name, ids: 0, new_addresses: 0, ended_addresses: 0, failure })
            }
        }
    }

    fn attempt(
        &self,
        connection: &mut PgConnection,
        listing: &Listing,
    ) -> Result<Option<Outcome>, SourceError> {
        let taken = self.attempts(listing).run(connection, |connection| self.take(connection, listing))?;
        let Some((source_id, epoch)) = taken else { return Ok(None) };
        let written = self.client(listing).and_then(|client| {
            let written = (listing.read)(self.settings, &client)
                .and_then(|heard| self.write(connection, listing, source_id, epoch, &heard));
            written.map_err(|error| self.to_be_left_alone(error, client.calls()))
        });
        self.attempts(listing)
            .run(connection, |connection| lease::release(connection, listing.name, epoch))?;
        written.map(Some)
    }

    /// A failure, with the time before which the listing is not read again. That of a recording says nothing about now.
    fn to_be_left_alone(&self, error: SourceError, calls: u32) -> SourceError {
        let Some(every) = self.settings.listings_every.filter(|_| !self.is_replay()) else { return error };
        let pause = PAUSE * i32::try_from(calls.max(1)).unwrap_or(i32::MAX);
        let own = self.clock.now() + pause.min(every);
        SourceError { not_before: Some(error.not_before.map_or(own, |wish| wish.max(own))), ..error }
    }

    fn remember(&self, connection: &mut PgConnection, listing: &Listing, again: DateTime<Utc>) {
        let kept = self
            .attempts(listing)
            .run(connection, |connection| checkpoint::set_not_before(connection, listing.name, again));
        if let Err(error) = kept {
            log::warn!("{}: {error}", listing.name);
        }
    }

    fn is_replay(&self) -> bool {
        matches!(self.settings.taping, Some(Taping::Replay(_)))
    }

    /// Of one transaction.
    fn attempts<'a>(&'a self, listing: &'a Listing) -> Attempts<'a> {
        let what = "the listing is written";
        Attempts::new(listing.name, what, self.database_url, self.settings.database_wait, self.cancel)
    }

    /// Its key and the epoch of its lease; `None` when it is not due, or somebody else is at it.
    fn take(&self, connection: &mut PgConnection, listing: &Listing) -> QueryResult<Option<(i16, i64)>> {
        let key = source::register_as(connection, listing.name, LISTING)?;
        if !self.is_due(connection, listing)? {
            return Ok(None);
        }
        let (owner, ttl) = (crate::run::owner(), self.settings.lease);
        let taken = lease::acquire(connection, listing.name, &owner, self.run_id, ttl);
        let taken = if taken.as_ref().is_err_and(database::is_lock_timeout) { None } else { taken? };
        Ok(taken.map(|epoch| (key.source_id, epoch)))
    }

    /// Whether it is old enough, and neither it nor the vendor wants to be left alone.
    fn is_due(&self, connection: &mut PgConnection, listing: &Listing) -> QueryResult<bool> {
        if let Some(Taping::Replay(folder)) = &self.settings.taping {
            return Ok(folder.join(listing.name).is_dir());
        }
        let Some(every) = self.settings.listings_every else { return Ok(false) };
        let point = checkpoint::find(connection, listing.name)?;
        let vendor = checkpoint::find(connection, listing.of)?;
        let now = self.clock.now();
        let is_wished = |point: &Option<checkpoint::Checkpoint>| {
            point.as_ref().and_then(|point| point.not_before).is_some_and(|time: DateTime<Utc>| time > now)
        };
        let is_fresh =
            point.as_ref().is_some_and(|point| point.batch_number > 0 && point.updated_at + every > now);
        Ok(!is_fresh && !is_wished(&point) && !is_wished(&vendor))
    }

    /// Its calls are calls to the vendor: they count, and wait, like those for the prices.
    fn client(&self, listing: &Listing) -> Result<Client, SourceError> {
        let registration = crate::run::registration(listing.of)?;
        let policy = (registration.policy)(self.settings);
        let book = policy.ledger.clone().map(|ledger| {
            Book::new(listing.of, ledger, self.database_url.clone(), self.settings.database_wait)
        });
        let tape =
            self.settings.taping.as_ref().map(|taping| Tape::open(taping, listing.name)).transpose()?;
        Ok(Client::new(policy, book, tape, self.clock, self.cancel.clone()))
    }

    /// Bytes, addresses, ids, counters and checkpoint commit together.
    fn write(
        &self,
        connection: &mut PgConnection,
        listing: &Listing,
        source_id: i16,
        epoch: i64,
        heard: &Heard,
    ) -> Result<Outcome, SourceError> {
        let written = self.attempts(listing).run(connection, |connection| {
            connection.transaction(|connection| put(connection, listing, source_id, epoch, heard))
        })?;
        match written {
            Some(changed) => Ok(Outcome {
                name: listing.name,
                ids: heard.listed.len(),
                new_addresses: changed.new,
                ended_addresses: changed.gone,
                failure: None,
            }),
            None => Err(SourceError::new(FailureKind::Temporary, "another run has taken this listing over")),
        }
    }
}

/// Writes all of a listing; `None` when the lease is somebody else's by now.
fn put(
    connection: &mut PgConnection,
    listing: &Listing,
    source_id: i16,
    epoch: i64,
    heard: &Heard,
) -> QueryResult<Option<contract::Changed>> {
    if !lease::fence(connection, listing.name, epoch)? {
        return Ok(None);
    }
    let mut raw_records = 0;
    for (answer, records) in &heard.bodies {
        raw_records += keep(connection, listing.name, answer, *records)?;
    }
    let market = source::register(connection, listing.of)?;
    let changed = contract::replace(connection, market.source_id, &heard.listed)?;
    let added = Added { raw_records, ..Added::default() };
    let number = source::count_batch(connection, source_id, added)?;
    let cursor = serde_json::json!({ "ids": heard.listed.len(), "calls": heard.bodies.len() });
    let advance = checkpoint::Advance {
        source: listing.name,
        last_processed_id: None,
        newest: None,
        cursor: &cursor,
        batch_number: number,
    };
    checkpoint::advance(connection, &advance)?;
    Ok(Some(changed))
}

/// Keeps a body; returns how many records are kept that were not before.
fn keep(connection: &mut PgConnection, name: &str, answer: &Answer, records: usize) -> QueryResult<i64> {
    let sha256: [u8; 32] = Sha256::digest(&answer.body).into();
    let body = NewBody {
        source: name,
        url: &answer.url,
        status: i16::try_from(answer.status).unwrap_or(i16::MAX),
        content_type: answer.content_type.as_deref(),
        fetched_at: answer.received_at,
        sha256: &sha256,
        record_count: i32::try_from(records).unwrap_or(i32::MAX),
    };
    let kept = raw::keep_body(connection, &body, &Packed::new(&answer.body))?;
    Ok(if kept.is_new { records as i64 } else { 0 })
}

/// How many calls a listing made, by its checkpoint.
pub(crate) fn calls(point: &checkpoint::Checkpoint) -> Option<u64> {
    point.cursor.get("calls")?.as_u64()
}

/// The listings of some market sources.
pub(crate) fn of_sources(names: &[String]) -> impl Iterator<Item = &'static Listing> {
    sources::LISTINGS.iter().filter(|listing| names.iter().any(|name| name == listing.of))
}
