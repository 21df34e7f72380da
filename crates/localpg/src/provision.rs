//! Settles where a cluster lives, who runs it and with which binaries; the three depend on each other.

use std::path::Path;

use anyhow::Result;

use crate::binaries::{Binaries, major_of_data};
use crate::home::Home;
use crate::install;
use crate::user::ServerUser;

/// The folder, the user and the binaries of a cluster; binaries are fetched when there are none.
pub(crate) fn provide(directory: &Path) -> Result<(Home, ServerUser, Binaries)> {
    let settle = || -> Result<(Home, ServerUser)> {
        let home = Home::make(directory)?;
        let user = ServerUser::choose(&home.data())?;
        Ok((home.settle(&user)?, user))
    };
    let (home, user) = settle()?;
    if let Some(binaries) = Binaries::find(&home, &user)? {
        return Ok((home, user, binaries));
    }
    let made_by = major_of_data(&home);
    let mut failures = Vec::new();
    for way in install::ways(made_by) {
        if let Err(error) = way.run(&home) {
            failures.push(format!("{way}: {error:#}"));
            continue;
        }
        // The distribution's package brings the user `postgres` along.
        let (home, user) = settle()?;
        if let Some(binaries) = Binaries::find(&home, &user)? {
            return Ok((home, user, binaries));
        }
        failures.push(format!("{way}: it brought no server that runs here"));
    }
    Err(NoServer { tried: failures }.into())
}

/// There is no Postgres server on this machine, and none could be fetched.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no Postgres server on this machine and none could be fetched: install the package `postgresql`, or set \
     DATABASE_URL to a database that you have{}",
    list(tried)
)]
pub struct NoServer {
    /// What was tried, and why it failed.
    pub tried: Vec<String>,
}

fn list(tried: &[String]) -> String {
    if tried.is_empty() { String::new() } else { format!(" (tried {})", tried.join("; ")) }
}
