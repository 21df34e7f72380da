//! The private server, met as a real one: started, used, stopped.

#![allow(clippy::unwrap_used, reason = "a test helper fails the test")]

mod launch;
mod lifecycle;
mod with;

use std::path::{Path, PathBuf};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use kasparro_localpg::Settings;

/// A folder whose server is stopped at the end of a test, also of one that fails.
struct Scratch {
    folder: tempfile::TempDir,
    directory: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        Self::below("")
    }

    fn below(path: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Other users may pass, whatever the umask is: the server's user is another one when root runs the tests.
        set_mode(folder.path(), 0o755);
        let directory = folder.path().join(path).join("postgres");
        Self { folder, directory }
    }

    fn settings(&self) -> Settings {
        Settings { directory: self.directory.clone(), durable: false }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Ok(Some(cluster)) = kasparro_localpg::find(&self.directory) {
            cluster.stop().unwrap();
        }
    }
}

fn set_mode(folder: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn run_sql(url: &str, sql: &str) {
    PgConnection::establish(url).unwrap().batch_execute(sql).unwrap();
}
