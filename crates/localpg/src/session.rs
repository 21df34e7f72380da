//! Use of a cluster by several commands at once: the last one to leave stops what the first one started.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cluster::{self, Cluster, Settings};
use crate::home::Home;

/// A running cluster that is not stopped under the one who uses it.
#[derive(Debug)]
pub struct Session {
    /// The cluster in use.
    pub cluster: Cluster,
    directory: PathBuf,
    in_use: File,
}

impl Session {
    /// Starts the cluster unless it runs, and joins those who use it.
    ///
    /// # Errors
    /// As [`start`](crate::start).
    pub fn open(settings: &Settings) -> Result<Self> {
        let home = Home::make(&settings.directory)?;
        let _guard = home.guard()?;
        let in_use = home.in_use()?;
        in_use.lock_shared().context("cannot lock the folder of the private Postgres")?;
        let cluster = cluster::start_guarded(settings)?;
        if cluster.started_now {
            fs::write(cluster.home().stop_when_unused(), "")?;
        }
        Ok(Self { cluster, directory: settings.directory.clone(), in_use })
    }

    /// The folder that the cluster was asked to live in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the cluster one that runs until it is stopped by name.
    ///
    /// # Errors
    /// The mark of a cluster that was started for a command cannot be removed.
    pub fn keep(settings: &Settings) -> Result<()> {
        let mark = Home::make(&settings.directory)?.stop_when_unused();
        match fs::remove_file(&mark) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Stops the cluster if a session started it and this is the last one. Returns whether it did.
    ///
    /// # Errors
    /// The server does not stop.
    pub fn close(self) -> Result<bool> {
        let home = self.cluster.home();
        let _guard = home.guard()?;
        drop(self.in_use);
        let alone = home.in_use()?.try_lock().is_ok();
        if !alone || !home.stop_when_unused().exists() {
            return Ok(false);
        }
        self.cluster.stop_guarded()?;
        Ok(true)
    }
}
