//! `kasparro-etl resolve`: resolves now, tells why, lists what is open, and takes a link back.

use std::time::{Duration, Instant};

use diesel::PgConnection;
use kasparro_core::log_line::escaped;
use kasparro_core::store::asset_ruling::{self, Ruling};
use kasparro_core::store::{asset_review, source};
use serde_json::json;

use super::explain::{self, Directory};
use super::{Resolution, Resolved, run};
use crate::cli::ResolveArgs;
use crate::commands::{finish, ready};
use crate::database;
use crate::failure::{FailureKind, SourceError};
use crate::progress::grouped;
use crate::run::{LEASE_PATIENCE, database_url};
use crate::settings::Settings;
use crate::signal::Cancel;

/// Does what is asked; returns the exit code.
pub(crate) fn resolve(settings: &Settings, arguments: &ResolveArgs) -> u8 {
    finish(|| {
        let mut connection = ready(settings)?;
        match arguments {
            ResolveArgs { explain: Some(id), .. } => {
                let explained = explain::explain(&mut connection, settings.asset_links_path.as_deref(), id)?;
                Ok(if arguments.json { format!("{}\n", json!(explained)) } else { explain::text(&explained) })
            }
            ResolveArgs { review: true, .. } => review(&mut connection, arguments),
            ResolveArgs { undo: Some(id), .. } => {
                let what = undo(&mut connection, settings, id)?;
                let resolved = now(&mut connection, settings)?;
                Ok(if arguments.json {
                    format!("{}\n", json!({ "undone": what, "assets": resolved }))
                } else {
                    format!("{}\n{}\n", escaped(&what), sentence(&resolved))
                })
            }
            _ => {
                let resolved = now(&mut connection, settings)?;
                Ok(if arguments.json { format!("{}\n", json!(resolved)) } else { sentence(&resolved) + "\n" })
            }
        }
    })
}

/// Resolves. Another process that is at it is nearly done, and the server needs a moment to notice that one was killed.
fn now(connection: &mut PgConnection, settings: &Settings) -> Result<Resolved, SourceError> {
    let (asked, database_url, cancel) = (Instant::now(), database_url(settings)?, Cancel::default());
    let resolution = Resolution { settings, database_url: &database_url, cancel: &cancel, run_id: None };
    loop {
        if let Some(resolved) = run(connection, &resolution, &[])? {
            return Ok(resolved);
        }
        if asked.elapsed() > LEASE_PATIENCE {
            return Err(SourceError::new(FailureKind::Temporary, "another process is resolving; try again"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a resolution came to, for people.
pub(crate) fn sentence(resolved: &Resolved) -> String {
    let number = |count: usize| grouped(i64::try_from(count).unwrap_or(i64::MAX));
    let made = match (resolved.unchanged, resolved.new_links, resolved.ended_links) {
        (true, ..) | (false, 0, 0) => "nothing new".to_owned(),
        (false, new, 0) => format!("{} links made", number(new)),
        (false, new, ended) => format!("{} links made, {} ended", number(new), number(ended)),
    };
    format!(
        "{} coins are {} assets, {} of them with several sources, {} coins to review: {made}",
        number(resolved.coins),
        number(resolved.assets),
        number(resolved.linked),
        number(resolved.reviews)
    )
}

/// Takes the link of a coin back, for good: the coin and those that it was linked with are declared to be two. Of a coin
/// that this was done to, takes that back: the evidence decides again.
fn undo(connection: &mut PgConnection, settings: &Settings, id: &str) -> Result<String, SourceError> {
    let failed = |error| database::failure(&error);
    let explained = explain::explain(connection, settings.asset_links_path.as_deref(), id)?;
    let [coin] = &explained[..] else {
        let ids: Vec<&str> = explained.iter().map(|coin| coin.id.as_str()).collect();
        let message = format!("{id}: several sources have this id, say which: {}", ids.join(", "));
        return Err(SourceError::new(FailureKind::Usage, message));
    };
    if asset_ruling::end(connection, &coin.source, &coin.crypto_id).map_err(failed)? > 0 {
        return Ok(format!("{}: what was decided by hand is taken back, the evidence decides", coin.id));
    }
    if coin.together_with.is_empty() {
        let message = format!("{}: is linked with no other coin, there is nothing to undo", coin.id);
        return Err(SourceError::new(FailureKind::Usage, message));
    }
    for other in &coin.together_with {
        let (other_source, other_id) = other.split_once(':').unwrap_or_default();
        let ruling = Ruling {
            verdict: "never".to_owned(),
            source: coin.source.clone(),
            crypto_id: coin.crypto_id.clone(),
            other_source: other_source.to_owned(),
            other_id: other_id.to_owned(),
            note: Some("resolve --undo".to_owned()),
        };
        asset_ruling::insert(connection, &ruling).map_err(failed)?;
    }
    Ok(format!("{}: taken apart from {}", coin.id, coin.together_with.join(", ")))
}

/// What waits for a person.
fn review(connection: &mut PgConnection, arguments: &ResolveArgs) -> Result<String, SourceError> {
    let failed = |error| database::failure(&error);
    let directory = Directory::read(connection).map_err(failed)?;
    let reviews = asset_review::all(connection).map_err(failed)?;
    let at = source::database_time(connection).map_err(failed)?;
    let mut found: Vec<_> = reviews.iter().map(|review| (directory.rank(review.coin_id), review)).collect();
    // The best-known coins first: they matter to most people.
    found.sort_by_key(|(rank, review)| (*rank, review.coin_id));
    let shown = found.iter().take(arguments.limit.into()).map(|(_, review)| {
        let candidates: Vec<String> = review.candidates.iter().map(|id| directory.shown(*id)).collect();
        (directory.shown(review.coin_id), *review, candidates)
    });
    if arguments.json {
        let list: Vec<_> = shown
            .map(|(id, review, candidates)| {
                json!({
                    "id": id, "reason": review.reason, "candidates": candidates,
                    "candidate_count": review.candidate_count, "since": review.since,
                })
            })
            .collect();
        return Ok(format!("{}\n", json!({ "total": reviews.len(), "at": at, "reviews": list })));
    }
    let mut text: String = shown
        .map(|(id, review, candidates)| {
            let more = review.candidate_count - candidates.len() as i32;
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let line = format!("{id} {}: {}{more}", review.reason, candidates.join(", "));
            format!("{}\n", escaped(&line))
        })
        .collect();
    text.push_str(&format!("{} coins to review\n", reviews.len()));
    Ok(text)
}
