//! Connections, migrations and the check of the schema's version.

use diesel::connection::{CacheSize, SimpleConnection};
use diesel::pg::PgConnection;
use diesel::{Connection, ConnectionError, QueryResult, RunQueryDsl, sql_query};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::address;

/// Every migration, compiled in.
const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// Key of the transaction-level advisory lock that migrators queue for ("kasparro" in ASCII).
const MIGRATION_LOCK: i64 = 0x6b61_7370_6172_726f;

/// What goes wrong between us and the database as a whole.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The address cannot be used, whoever is there. The text has nothing of it.
    #[error("DATABASE_URL cannot be used: {0}")]
    Address(String),
    /// No connection could be made. The text has no secrets.
    #[error("cannot connect to the database: {0}")]
    Connect(String),
    /// A statement failed.
    #[error("database: {0}")]
    Query(#[from] diesel::result::Error),
    /// The tables are not for this program to change. The text has the way out.
    #[error("{0}")]
    Schema(String),
    /// A migration failed; nothing of it was kept.
    #[error("migration: {0}")]
    Migration(String),
}

/// How the tables fit this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// Exactly the tables that this program knows.
    Current,
    /// There are no tables yet.
    Missing,
    /// Tables of an older program: `migrate` brings them up.
    Older {
        /// Newest migration that was applied.
        applied: String,
    },
    /// Tables of a newer program: this one must be replaced.
    Newer {
        /// Newest migration that was applied.
        applied: String,
    },
}

/// Opens a connection to a libpq URL or keyword string, in UTC.
///
/// # Errors
/// As [`establish`].
pub fn connect(url: &str) -> Result<PgConnection, DbError> {
    let mut connection = establish(url)?;
    prepare(&mut connection)?;
    Ok(connection)
}

/// Replaces the servers of an address by a place where none can listen.
const NOWHERE: [(&str, &str); 3] = [("host", "/dev/null"), ("hostaddr", ""), ("port", "5432")];

/// Whether a libpq URL or keyword string can be read. Goes to no server.
///
/// # Errors
/// [`DbError::Address`].
pub fn check_address(url: &str) -> Result<(), DbError> {
    // libpq reads an address to its end before it goes anywhere. To read one alone, it offers only what is `unsafe`.
    match establish(&address::with(url, &NOWHERE)) {
        Err(error @ DbError::Address(_)) => Err(error),
        _ => address::check_numbers(url).map_err(DbError::Address),
    }
}

/// As [`connect`], as the server gives it.
///
/// # Errors
/// What libpq says; it names host and user but never the password, and nothing of an address that cannot be read.
pub fn establish(url: &str) -> Result<PgConnection, DbError> {
    address::check(url).map_err(|problem| DbError::Address(problem.to_owned()))?;
    PgConnection::establish(url).map_err(|error| match error {
        ConnectionError::BadConnection(message) => unconnected(&message, url),
        error => DbError::Connect(without_secrets(&error.to_string(), url)),
    })
}

/// How what libpq says begins once it has understood the address.
const UNDERSTOOD: [&str; 2] = ["connection to server ", "could not translate host name "];

/// How it begins when it has not.
const NOT_UNDERSTOOD: [&str; 11] = [
    "invalid ",
    "missing ",
    "unterminated ",
    "extra ",
    "sslmode value ",
    "gssencmode value ",
    "weak sslmode ",
    "definition of service ",
    "service file ",
    "could not match ",
    "could not parse network address ",
];

fn unconnected(message: &str, url: &str) -> DbError {
    let begins = |with: &[&str]| with.iter().any(|beginning| message.starts_with(beginning));
    match () {
        () if begins(&UNDERSTOOD) => DbError::Connect(without_secrets(message, url)),
        () if begins(&NOT_UNDERSTOOD) => DbError::Address(without_quotes(&one_line(message))),
        () => DbError::Connect(without_quotes(&without_secrets(message, url))),
    }
}

/// What libpq says, without what it repeats of an address.
fn without_quotes(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(begin), Some(end)) => format!("{}\"...\"{}", &message[..begin], &message[end + 1..]),
        _ => message.to_owned(),
    }
}

/// What is said about an address that was understood, on one line and without the password.
fn without_secrets(message: &str, url: &str) -> String {
    match password(url) {
        Some(password) => one_line(&message.replace(password, "[password]")),
        None => one_line(message),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The password in `scheme://user:password@host` or `password=...`.
fn password(url: &str) -> Option<&str> {
    let in_url = || {
        let authority = url.split_once("//").map_or(url, |(_, rest)| rest);
        let (user_info, _) = authority.rsplit_once('@')?;
        Some(user_info.split_once(':')?.1)
    };
    let in_words = || url.split_once("password=")?.1.split([' ', '&']).next();
    in_url().or_else(in_words).filter(|password| !password.is_empty())
}

/// Whether statements stay prepared on the server: `DB_STATEMENT_CACHE`, on unless it says something else.
///
/// # Errors
/// What is wrong with its value, with its name.
pub fn statement_cache() -> Result<bool, String> {
    const NAME: &str = "DB_STATEMENT_CACHE";
    let value = match std::env::var(NAME) {
        Ok(value) => value,
        Err(std::env::VarError::NotPresent) => return Ok(true),
        Err(std::env::VarError::NotUnicode(_)) => return Err(format!("{NAME}: its value is not UTF-8")),
    };
    is_on(&value).ok_or_else(|| format!("{NAME}: {value:?} is neither on nor off"))
}

/// What a switch that is on by default says; `None` for what is neither on nor off.
fn is_on(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "" | "on" | "true" | "1" => Some(true),
        "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// Whether a pooler stands between us and the server that gives each transaction to another session, as PgBouncer does in
/// its mode `transaction`: `DB_STATEMENT_CACHE=off` says so.
pub(crate) fn is_pooled() -> bool {
    statement_cache() == Ok(false)
}

/// Brings a fresh connection into the state that the queries of [`crate::store`] count on.
///
/// # Errors
/// When the server refuses the settings.
pub fn prepare(connection: &mut PgConnection) -> QueryResult<()> {
    // It hands prepared statements to the wrong client.
    if is_pooled() {
        connection.set_prepared_statement_cache_size(CacheSize::Disabled);
    }
    // Compiling a statement costs more than any of ours takes.
    connection.batch_execute("set timezone = 'UTC'; set client_min_messages = warning; set jit = off")
}

/// Applies what is missing and returns the names of the migrations applied now. Any number of
/// processes may call it at once: one works, the others wait and find nothing to do.
///
/// # Errors
/// When the database cannot be reached, is newer than this program, or a migration fails (it is rolled back).
pub fn migrate(url: &str) -> Result<Vec<String>, DbError> {
    // diesel_migrations does not serialise itself. A lock that lives in a transaction works through a
    // pooler too, so it is held on a connection of its own while the other one migrates.
    let mut gate = connect(url)?;
    let mut worker = connect(url)?;
    gate.transaction(|gate| {
        gate.batch_execute("set local idle_in_transaction_session_timeout = 0; set local lock_timeout = 0")?;
        sql_query("select pg_advisory_xact_lock($1)")
            .bind::<diesel::sql_types::BigInt, _>(MIGRATION_LOCK)
            .execute(gate)?;
        worker.batch_execute("set lock_timeout = '5s'")?;
        let state = schema_state(&mut worker)?;
        if let (SchemaState::Newer { .. }, Some(advice)) = (&state, state.advice()) {
            return Err(DbError::Schema(advice));
        }
        let applied = worker
            .run_pending_migrations(MIGRATIONS)
            .map_err(|error| DbError::Migration(error.to_string()))?;
        Ok(applied.iter().map(ToString::to_string).collect())
    })
}

/// Reverts every migration: all tables and data are gone. For tests of the down scripts.
///
/// # Errors
/// When a down script fails.
pub fn revert_all(url: &str) -> Result<(), DbError> {
    let mut connection = connect(url)?;
    connection
        .revert_all_migrations(MIGRATIONS)
        .map(drop)
        .map_err(|error| DbError::Migration(error.to_string()))
}

/// The newest migration that this program knows.
pub fn known_version() -> String {
    versions().pop().unwrap_or_default()
}

fn versions() -> Vec<String> {
    use diesel::migration::{Migration, MigrationSource};
    let migrations: Vec<Box<dyn Migration<diesel::pg::Pg>>> = MIGRATIONS.migrations().unwrap_or_default();
    let mut versions: Vec<_> = migrations.iter().map(|m| m.name().version().to_string()).collect();
    versions.sort();
    versions
}

/// Compares the tables with what this program knows. Changes nothing.
///
/// # Errors
/// When the database cannot be asked.
pub fn schema_state(connection: &mut PgConnection) -> QueryResult<SchemaState> {
    use diesel::{ExpressionMethods, OptionalExtension, QueryDsl};

    use crate::schema::applied_migrations as t;
    // Prepared once for a connection: services ask often.
    let newest = t::table.select(t::version).order(t::version.desc()).first::<String>(connection).optional();
    let newest = match newest {
        Err(error) if is_without_migrations(connection)? => {
            log::debug!("no tables: {error}");
            None
        }
        newest => newest?,
    };
    let known = known_version();
    Ok(match newest {
        None => SchemaState::Missing,
        Some(version) if version == known => SchemaState::Current,
        Some(version) if version < known => SchemaState::Older { applied: version },
        Some(version) => SchemaState::Newer { applied: version },
    })
}

fn is_without_migrations(connection: &mut PgConnection) -> QueryResult<bool> {
    sql_query("select 1 from pg_catalog.pg_tables where tablename = '__diesel_schema_migrations'")
        .execute(connection)
        .map(|exists| exists == 0)
}

impl SchemaState {
    /// One sentence for people, with the way out; `None` when all is well.
    pub fn advice(&self) -> Option<String> {
        let known = known_version();
        Some(match self {
            Self::Current => return None,
            Self::Missing => "the database has no tables yet: run `kasparro-etl migrate`".to_owned(),
            Self::Older { applied } => {
                format!(
                    "the tables are of version {applied}, this program needs {known}: run `kasparro-etl migrate`"
                )
            }
            Self::Newer { applied } => {
                format!(
                    "the tables are of version {applied}, this program knows {known}: use a newer program"
                )
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_libpq_repeats_is_not_shown() {
        for url in [
            "postgres//u:canary@h/d",
            "postgresql://u:canary@h/d",
            "host=h password=canary dbname=d",
            "u:canary@h",
        ] {
            let message = format!("missing \"=\" after \"{url}\" in connection info\n string");
            let error = unconnected(&message, url);
            assert!(matches!(error, DbError::Address(_)));
            assert_eq!(
                error.to_string(),
                "DATABASE_URL cannot be used: missing \"...\" in connection info string"
            );
        }
    }

    /// The server that is named would not answer for minutes.
    #[test]
    fn an_address_is_read_without_its_server() {
        for good in [
            "postgresql://u:p?w@192.0.2.1/d?sslmode=prefer&target_session_attrs=any",
            "postgresql://192.0.2.1:1,192.0.2.2:2/d?connect_timeout=60",
            "host=192.0.2.1,192.0.2.2 port=1,2 password='a b' dbname=d user=u",
            "hostaddr=192.0.2.1 user=u password=",
        ] {
            check_address(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for wrong in [
            "postgresql://u:canary@192.0.2.1/d?sslmode=canary",
            "postgresql://u:canary@192.0.2.1/d?canary=1",
            "postgresql://u:canary@192.0.2.1/d?sslmode",
            "postgresql://u:canary@192.0.2.1/d?connect_timeout=canary",
            "postgresql://u:canary@192.0.2.1/d?target_session_attrs=canary",
            "postgresql://u:canary@192.0.2.1/d?service=canary",
            "host=192.0.2.1 password=canary canary=1",
            "host=192.0.2.1 password=canary channel_binding=canary",
            "host=192.0.2.1 password='canary",
            "host=192.0.2.1 password=canary canary",
            "host=192.0.2.1 password=canary port=0",
        ] {
            let said = match check_address(wrong) {
                Err(error @ DbError::Address(_)) => error.to_string(),
                other => panic!("{wrong}: {other:?}"),
            };
            assert!(!said.contains("canary"), "{wrong}: {said}");
        }
    }

    #[test]
    fn a_password_that_the_server_repeats_is_not_shown() {
        for url in ["postgresql://u:canary@h/d", "host=h password=canary dbname=d"] {
            let error = unconnected("connection to server at \"h\" failed: canary\n", url);
            assert_eq!(
                error.to_string(),
                "cannot connect to the database: connection to server at \"h\" failed: [password]"
            );
        }
    }
}
