//! Which database a command gets: the one that is configured, else one in the private server.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use kasparro_localpg::{Session, Settings};

use crate::environment::setting;

/// Either of them names a database that the private server does not have to stand in for.
const CONFIGURED_BY: [&str; 2] = ["DATABASE_URL", "DATABASE_URL_FILE"];

/// The database of one command.
pub(crate) enum Target {
    /// Configured: the command finds it by itself.
    Configured,
    /// In the private server.
    Private { session: Session, url: String },
}

impl Target {
    /// The configured database, else one in the private server, which is started if it does not run.
    pub(crate) fn choose(directory: &Path, database: &str) -> Result<Self> {
        if let Some(name) = CONFIGURED_BY.iter().find(|name| setting(name).is_some()) {
            eprintln!("Postgres: the one that {name} names");
            return Ok(Self::Configured);
        }
        Self::private(&Settings { directory: directory.to_owned(), durable: true }, database)
    }

    /// A database in the private server, which is started if it does not run.
    pub(crate) fn private(settings: &Settings, database: &str) -> Result<Self> {
        if kasparro_localpg::find(&settings.directory)?.is_none() {
            eprintln!("Postgres: starting the private server under {}", settings.directory.display());
        }
        let session = Session::open(settings)?;
        if let Err(error) = session.cluster.create_database_if_missing(database) {
            session.close()?;
            return Err(error);
        }
        let url = session.cluster.url(database);
        Ok(Self::Private { session, url })
    }

    /// Tells a command about the database.
    pub(crate) fn describe_to(&self, command: &mut Command) {
        if let Self::Private { url, .. } = self {
            // Empty, not removed: the one in a `.env` must not come back.
            command.env("DATABASE_URL", url).env("DATABASE_URL_FILE", "");
        }
    }

    /// Stops the private server if it was started for commands like this one and no other uses it.
    pub(crate) fn leave(self) -> Result<()> {
        if let Self::Private { session, .. } = self
            && session.close()?
        {
            eprintln!("Postgres: stopped; the data stays");
        }
        Ok(())
    }
}
