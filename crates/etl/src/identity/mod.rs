//! One coin, one identity: which coins of which sources are the same asset, and why.
//!
//! [`evidence`] is what is known, [`decide`] makes groups of it (pure), [`write`] brings the tables to them and changes only
//! what differs. [`fold`] and [`chain`] bring names and addresses to forms that can be compared, [`declared`] is what
//! people say, [`explain`] tells them why. [`listing`] learns contract addresses, [`succession`] notices ids that took the place
//! of others.

mod chain;
mod command;
mod decide;
mod declared;
mod evidence;
mod explain;
mod fold;
mod gather;
pub(crate) mod listing;
mod succession;
mod write;

use std::collections::HashSet;
use std::path::Path;

use compact_str::CompactString;
use diesel::{Connection, PgConnection, QueryResult};
use kasparro_core::secret::Secret;
use kasparro_core::store::source::{Added, IDENTITY};
use kasparro_core::store::{asset_ruling, checkpoint, coin_state, identity, lease, source};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::database::{self, Attempts};
use crate::failure::{FailureKind, SourceError};
use crate::settings::Settings;
use crate::signal::Cancel;
pub(crate) use chain::{address as normalised_address, of_coinpaprika as chain_of_coinpaprika};
pub(crate) use command::{resolve, sentence};
use declared::Declared;

/// Under which the resolver has its lease, its checkpoint and the number of its newest change.
pub(crate) const NAME: &str = "assets";

/// Changes whenever the rules do: what was decided by other rules is decided again.
const RULES: u32 = 3;

/// What a resolution came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Resolved {
    /// Coins of all sources.
    pub(crate) coins: usize,
    /// Assets that they are.
    pub(crate) assets: usize,
    /// Assets with coins of more than one source.
    pub(crate) linked: usize,
    /// Links that were made now.
    pub(crate) new_links: usize,
    /// Links that were ended now.
    pub(crate) ended_links: usize,
    /// Coins that wait for a person to look at them.
    pub(crate) reviews: usize,
    /// Whether there was nothing new to decide from.
    pub(crate) unchanged: bool,
}

/// The ids that a complete read of a source's prices had.
pub(crate) struct Priced {
    pub(crate) source: String,
    pub(crate) ids: HashSet<CompactString>,
}

/// Whether the user's declarations can be read.
///
/// # Errors
/// As [`run`].
pub(crate) fn check_links(path: Option<&Path>) -> Result<(), SourceError> {
    Declared::read(path).map(drop)
}

/// Who resolves, and how.
pub(crate) struct Resolution<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) database_url: &'a Secret,
    pub(crate) cancel: &'a Cancel,
    /// `None` outside of a run.
    pub(crate) run_id: Option<i64>,
}

impl Resolution<'_> {
    fn attempts(&self) -> Attempts<'_> {
        let what = "which coins are one is decided";
        Attempts::new(NAME, what, self.database_url, self.settings.database_wait, self.cancel)
    }
}

/// Resolves, unless nothing has changed since the last time. `None` when another process is at it.
///
/// # Errors
/// What the database says, and Refused for a declared file that cannot be understood.
pub(crate) fn run(
    connection: &mut PgConnection,
    resolution: &Resolution<'_>,
    priced: &[Priced],
) -> Result<Option<Resolved>, SourceError> {
    let declared = Declared::read(resolution.settings.asset_links_path.as_deref())?;
    let (owner, ttl) = (crate::run::owner(), resolution.settings.lease);
    let taken = resolution.attempts().run(connection, |connection| {
        let key = source::register_as(connection, NAME, IDENTITY)?;
        let taken = lease::acquire(connection, NAME, &owner, resolution.run_id, ttl);
        let taken = if taken.as_ref().is_err_and(database::is_lock_timeout) { None } else { taken? };
        Ok(taken.map(|epoch| (key.source_id, epoch)))
    })?;
    let Some((source_id, epoch)) = taken else { return Ok(None) };
    let resolved = resolution.attempts().run(connection, |connection| {
        connection
            .transaction(|connection| in_transaction(connection, source_id, epoch, declared.clone(), priced))
    });
    resolution.attempts().run(connection, |connection| lease::release(connection, NAME, epoch))?;
    match resolved? {
        Some(resolved) => Ok(Some(resolved)),
        None => {
            Err(SourceError::new(FailureKind::Temporary, "another process has taken the resolution over"))
        }
    }
}

fn in_transaction(
    connection: &mut PgConnection,
    source_id: i16,
    epoch: i64,
    mut declared: Declared,
    priced: &[Priced],
) -> QueryResult<Option<Resolved>> {
    if !lease::fence(connection, NAME, epoch)? {
        return Ok(None);
    }
    declared.add_rulings(asset_ruling::current(connection)?);
    let inputs = fingerprint(&identity::inputs(connection)?, &declared);
    let before = checkpoint::find(connection, NAME)?;
    let is_known = before.as_ref().is_some_and(|point| point.cursor["inputs"] == inputs);
    let changed_states = note_states(connection, &declared, priced, !is_known)?;
    if let Some(point) = before.filter(|_| is_known && changed_states == 0) {
        let count = |name: &str| point.cursor[name].as_u64().unwrap_or_default() as usize;
        return Ok(Some(Resolved {
            coins: count("coins"),
            assets: count("assets"),
            linked: count("linked"),
            reviews: count("reviews"),
            unchanged: true,
            ..Resolved::default()
        }));
    }
    let mut evidence = gather::evidence(connection)?;
    declared.describe(&mut evidence);
    let noticed = succession::notice(&evidence);
    coin_state::migrate(connection, &succession::to_store(&evidence, &noticed))?;
    evidence.successors.extend(noticed.iter().map(|(old, new, _)| (*old, *new)));
    let decision = decide::decide(&evidence);
    let resolved = write::write(connection, &evidence, &decision)?;
    let number = source::count_batch(connection, source_id, Added::default())?;
    let Resolved { coins, assets, linked, reviews, .. } = resolved;
    let cursor = serde_json::json!({
        "inputs": inputs, "coins": coins, "assets": assets, "linked": linked, "reviews": reviews,
    });
    let advance = checkpoint::Advance {
        source: NAME,
        last_processed_id: None,
        newest: None,
        cursor: &cursor,
        batch_number: number,
    };
    checkpoint::advance(connection, &advance)?;
    Ok(Some(resolved))
}

/// Brings the states of the coins up to date, of every source or only of those whose prices were read; returns how many
/// changed.
fn note_states(
    connection: &mut PgConnection,
    declared: &Declared,
    priced: &[Priced],
    all: bool,
) -> QueryResult<usize> {
    let mut changed = 0;
    for (source_id, name) in identity::sources(connection)? {
        let ids: Option<Vec<&str>> = priced
            .iter()
            .find(|one| one.source == name)
            .map(|one| one.ids.iter().map(CompactString::as_str).collect());
        if !all && ids.is_none() {
            continue;
        }
        let migrations: Vec<(&str, &str)> = declared.migrations_of(&name).collect();
        changed += coin_state::refresh(connection, source_id, ids.as_deref(), &migrations)?;
    }
    Ok(changed)
}

fn fingerprint(inputs: &str, declared: &Declared) -> String {
    let hash = Sha256::new()
        .chain_update(RULES.to_be_bytes())
        .chain_update(inputs)
        .chain_update(declared.fingerprint())
        .finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
