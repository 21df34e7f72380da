//! The subcommands beside `run`.

use std::io::{ErrorKind, Write};

use diesel::PgConnection;
use kasparro_core::db;
use kasparro_core::db::DbError;
use kasparro_core::log_line::escaped;
use kasparro_core::role::{self, Granted, Purpose};
use kasparro_core::store::{reject, source};

use crate::cli::{MigrateArgs, RejectsArgs};
use crate::database;
use crate::failure::{FailureKind, SourceError};
use crate::run::database_url;
use crate::settings::Settings;
use crate::signal::Cancel;
use crate::status::shown;

/// Creates or upgrades the tables.
pub(crate) fn migrate(settings: &Settings, arguments: &MigrateArgs) -> u8 {
    finish(|| {
        let named = |role: &Option<String>| role.clone().filter(|role| !role.is_empty());
        let (reader, loader) = (named(&arguments.reader), named(&arguments.loader));
        if reader.is_some() && reader == loader {
            let message =
                "DB_READER and DB_LOADER name the same role: one that only reads cannot load; name two";
            return Err(SourceError::new(FailureKind::Config, message));
        }
        let url = database_url(settings)?;
        // Waits for a database that is starting up; compose and Kubernetes start both at once.
        let mut connection = database::connect(&url, settings.database_wait, &Cancel::default())?;
        let applied = db::migrate(url.expose()).map_err(|error| not_migrated(&error))?;
        let mut said = match applied.len() {
            0 => format!("the tables are up to date ({})\n", db::known_version()),
            n => format!("{n} migration(s) applied, the tables are now of version {}\n", db::known_version()),
        };
        for (role, purpose) in [(reader, Purpose::Read), (loader, Purpose::Load)] {
            if let Some(role) = role {
                said += &let_work(&mut connection, &role, purpose)?;
            }
        }
        Ok(said)
    })
}

fn not_migrated(error: &DbError) -> SourceError {
    let said = error.to_string();
    if ["permission denied", "must be owner"].iter().any(|words| said.contains(words)) {
        let message = format!(
            "{said}; tables are made and changed by their owner: give the address of that role, or let this one make them \
             (grant create on schema public to ROLE)"
        );
        return SourceError::new(FailureKind::Config, message);
    }
    let kind = if matches!(error, DbError::Schema(_)) { FailureKind::Config } else { FailureKind::Temporary };
    SourceError::new(kind, said)
}

/// Lets a role do its work with the tables, and no more.
fn let_work(connection: &mut PgConnection, role: &str, purpose: Purpose) -> Result<String, SourceError> {
    let (option, can, settings) = match purpose {
        Purpose::Read => {
            ("DB_READER", "reads the tables, and can do nothing else with them", "time limits were")
        }
        Purpose::Load => (
            "DB_LOADER",
            "loads the tables; it removes nothing of what was loaded, and makes no tables",
            "schema was",
        ),
    };
    let refused = |message| Err(SourceError::new(FailureKind::Config, message));
    match role::grant(connection, role, purpose).map_err(|error| database::failure(&error))? {
        Granted::WithSettings => Ok(format!("the role {role} {can}\n")),
        Granted::WithoutSettings => Ok(format!(
            "the role {role} {can}; its {settings} not set, which takes a superuser or createrole\n"
        )),
        Granted::Unknown => refused(format!(
            "{option}: there is no role {role}; make it first: create role {role} login password '...'"
        )),
        Granted::Mighty => refused(format!(
            "{option}: the role {role} owns the tables or is a superuser, which no grant limits; name one made for this"
        )),
    }
}

/// Refused records.
pub(crate) fn rejects(settings: &Settings, arguments: &RejectsArgs) -> u8 {
    finish(|| {
        let mut connection = ready(settings)?;
        let failed = |error| database::failure(&error);
        let now = source::database_time(&mut connection).map_err(failed)?;
        let filter = reject::Filter {
            source: arguments.source.as_deref(),
            code: arguments.code.as_deref(),
            since: arguments.since.map(|since| since.moment(now)),
        };
        let found = reject::list(&mut connection, &filter, i64::from(arguments.limit)).map_err(failed)?;
        if arguments.json {
            return Ok(format!("{}\n", serde_json::json!(found)));
        }
        if found.is_empty() {
            return Ok("no record was refused\n".to_owned());
        }
        Ok(found.iter().map(reject_lines).collect())
    })
}

fn reject_lines(one: &reject::Kept) -> String {
    let excerpt: String =
        one.excerpt.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect();
    format!(
        "{} {} {} x{}: {}\n    batch {}, record {}: {excerpt}\n",
        shown(one.last_seen_at),
        one.source,
        one.code,
        one.times,
        escaped(&one.message),
        one.batch_id,
        one.raw_position
    )
}

/// A connection to a database with the right tables.
pub(crate) fn ready(settings: &Settings) -> Result<diesel::PgConnection, SourceError> {
    let mut connection =
        database::connect(&database_url(settings)?, std::time::Duration::ZERO, &Cancel::default())?;
    let state = db::schema_state(&mut connection).map_err(|error| database::failure(&error))?;
    match state.advice() {
        Some(advice) => Err(SourceError::new(FailureKind::Config, advice)),
        None => Ok(connection),
    }
}

/// Prints what a command came to; returns its exit code.
pub(crate) fn finish(command: impl FnOnce() -> Result<String, SourceError>) -> u8 {
    match command() {
        Ok(text) => {
            let mut out = std::io::stdout();
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                // Whoever closed standard output does not want to read it.
                Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                    log::error!("cannot write: {error}");
                    FailureKind::Io.exit_code()
                }
                _ => 0,
            }
        }
        Err(error) => {
            log::error!("{error}");
            error.kind.exit_code()
        }
    }
}
