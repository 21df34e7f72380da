//! The subcommands beside `run`.

use std::io::Write;

use kasparro_core::db;
use kasparro_core::store::{checkpoint, lease, reject, run};

use crate::cli::RejectsArgs;
use crate::database;
use crate::failure::{FailureKind, SourceError};
use crate::run::{database_url, registration};
use crate::settings::Settings;
use crate::signal::Cancel;

/// Creates or upgrades the tables.
pub(crate) fn migrate(settings: &Settings) -> u8 {
    finish(|| {
        let url = database_url(settings)?;
        // Waits for a database that is starting up; compose and Kubernetes start both at once.
        drop(database::connect(&url, settings.database_wait, &Cancel::default())?);
        let applied = db::migrate(url.expose())
            .map_err(|error| SourceError::new(FailureKind::Temporary, error.to_string()))?;
        Ok(match applied.len() {
            0 => format!("the tables are up to date ({})\n", db::known_version()),
            n => format!("{n} migration(s) applied, the tables are now of version {}\n", db::known_version()),
        })
    })
}

/// The last run, checkpoint and lease of each source.
pub(crate) fn status(settings: &Settings) -> u8 {
    finish(|| {
        let mut connection = ready(settings)?;
        let failed = |error| database::failure(&error);
        let runs = run::newest_of_each_source(&mut connection).map_err(failed)?;
        let checkpoints = checkpoint::all(&mut connection).map_err(failed)?;
        if runs.is_empty() {
            return Ok("no run yet: start one with `kasparro-etl`\n".to_owned());
        }
        let mut text = String::new();
        for last in runs {
            let tally = run::Tally {
                loaded: last.loaded,
                restated: last.restated,
                unchanged: last.unchanged,
                duplicate: last.duplicate,
                rejected: last.rejected,
            };
            let started = last.started_at.format("%Y-%m-%d %H:%M:%SZ");
            text.push_str(&format!("{:12} run {} of {started}: {}", last.source, last.run_id, last.status));
            if let Some(message) = &last.error_message {
                text.push_str(&format!(" ({message})"));
            }
            text.push_str(&format!("\n{:12} {}\n", "", crate::progress::sentence(&tally)));
            if let Some(point) = checkpoints.iter().find(|point| point.source == last.source) {
                text.push_str(&format!("{:12} {}\n", "", checkpoint_line(point)));
            }
            if let Some(holder) = lease::holder(&mut connection, &last.source).map_err(failed)? {
                text.push_str(&format!("{:12} being loaded by {holder}\n", ""));
            }
        }
        Ok(text)
    })
}

fn checkpoint_line(point: &checkpoint::Checkpoint) -> String {
    let newest = match point.last_processed_timestamp {
        Some(time) => format!("newest observation {}", time.format("%Y-%m-%d %H:%M:%SZ")),
        None => "no observation yet".to_owned(),
    };
    match point.not_before {
        Some(time) => format!("{newest}; not to be asked before {}", time.format("%Y-%m-%d %H:%M:%SZ")),
        None => newest,
    }
}

/// Refused records.
pub(crate) fn rejects(settings: &Settings, arguments: &RejectsArgs) -> u8 {
    finish(|| {
        let mut connection = ready(settings)?;
        let only = match settings.sources.as_slice() {
            [one] => Some(one.as_str()),
            _ => None,
        };
        let found = reject::list(&mut connection, only, i64::from(arguments.limit))
            .map_err(|error| database::failure(&error))?;
        if found.is_empty() {
            return Ok("no record was refused\n".to_owned());
        }
        let line = |one: &reject::Kept| {
            let excerpt: String =
                one.excerpt.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect();
            format!(
                "{} {} {} x{}: {}\n    batch {}, record {}: {excerpt}\n",
                one.last_seen_at.format("%Y-%m-%d %H:%M:%SZ"),
                one.source,
                one.code,
                one.times,
                one.message,
                one.batch_id,
                one.raw_position
            )
        };
        Ok(found.iter().map(line).collect())
    })
}

/// Configuration, database and files.
pub(crate) fn check(settings: &Settings) -> u8 {
    finish(|| {
        for name in &settings.sources {
            (registration(name)?.open)(settings)?;
        }
        drop(ready(settings)?);
        Ok(format!(
            "the configuration is good; sources: {}; the database answers and its tables fit\n",
            settings.sources.join(", ")
        ))
    })
}

/// A connection to a database with the right tables.
fn ready(settings: &Settings) -> Result<diesel::PgConnection, SourceError> {
    let mut connection =
        database::connect(&database_url(settings)?, std::time::Duration::ZERO, &Cancel::default())?;
    let state = db::schema_state(&mut connection).map_err(|error| database::failure(&error))?;
    match state.advice() {
        Some(advice) => Err(SourceError::new(FailureKind::Config, advice)),
        None => Ok(connection),
    }
}

/// Prints what a command came to; returns its exit code.
fn finish(command: impl FnOnce() -> Result<String, SourceError>) -> u8 {
    match command() {
        Ok(text) => {
            // Whoever closed standard output does not want to read it.
            let _ = std::io::stdout().write_all(text.as_bytes());
            0
        }
        Err(error) => {
            log::error!("{error}");
            error.kind.exit_code()
        }
    }
}
