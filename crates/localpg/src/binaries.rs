//! Finds the server's binaries: `initdb`, `pg_ctl` and `postgres` of one version, side by side.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::home::Home;
use crate::user::ServerUser;

/// The oldest major version that is used: older ones are out of maintenance.
const OLDEST: u32 = 14;

/// Names a folder of server binaries to use instead of those found.
const FOLDER_VARIABLE: &str = "KASPARRO_PG_BIN";

/// A folder of server binaries that the server's user can run.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    pub(crate) folder: PathBuf,
    pub(crate) major: u32,
}

impl Binaries {
    /// The binaries for a home: those of the version that made its data, else the first found.
    ///
    /// `None` when there are no usable ones at all.
    ///
    /// # Errors
    /// The data was made by a version that is not installed, or `KASPARRO_PG_BIN` holds no server.
    pub(crate) fn find(home: &Home, user: &ServerUser) -> Result<Option<Self>> {
        let found: Vec<Self> =
            candidates(home)?.iter().filter_map(|folder| Self::probe(folder, user)).collect();
        let Some(made_by) = major_of_data(home) else {
            return Ok(found.into_iter().next());
        };
        let versions = found.iter().map(|binaries| binaries.major.to_string()).collect::<Vec<_>>().join(", ");
        match found.into_iter().find(|binaries| binaries.major == made_by) {
            Some(binaries) => Ok(Some(binaries)),
            None if versions.is_empty() => Ok(None),
            None => bail!(
                "the data in {} was made by Postgres {made_by}, but only {versions} is installed; install the server \
                 of Postgres {made_by}, or move that folder away to begin with an empty one (nothing was deleted)",
                home.data().display()
            ),
        }
    }

    fn probe(folder: &Path, user: &ServerUser) -> Option<Self> {
        if !["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).is_file()) {
            return None;
        }
        // Run as the server's user: binaries under somebody's home folder are of no use to it.
        let output = user.command(folder.join("postgres")).arg("--version").output().ok()?;
        let major = major_of(&String::from_utf8_lossy(&output.stdout))?;
        (major >= OLDEST).then(|| Self { folder: folder.to_owned(), major })
    }
}

/// The major version that made the data, `None` when there is none yet.
pub(crate) fn major_of_data(home: &Home) -> Option<u32> {
    fs::read_to_string(home.data().join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// `postgres (PostgreSQL) 15.18 (Debian …)` -> 15; `… 19beta1` -> 19.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    let digits = number.find(|character: char| !character.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

fn candidates(home: &Home) -> Result<Vec<PathBuf>> {
    if let Some(folder) = std::env::var_os(FOLDER_VARIABLE).filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        if !folder.join("postgres").is_file() {
            bail!("{FOLDER_VARIABLE} is {}, which holds no postgres", folder.display());
        }
        return Ok(vec![folder]);
    }
    let mut folders: Vec<PathBuf> = on_path().into_iter().chain(named_by_pg_config()).collect();
    for (parent, prefix, suffix) in [
        ("/usr/lib/postgresql", "", "bin"),         // Debian, Ubuntu
        ("/usr", "pgsql-", "bin"),                  // Fedora and Red Hat, packages of the Postgres project
        ("/usr/libexec", "postgresql", ""),         // Alpine
        ("/opt/homebrew/opt", "postgresql", "bin"), // Homebrew on Apple silicon
        ("/usr/local/opt", "postgresql", "bin"),    // Homebrew on Intel
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ] {
        folders.extend(versions_in(Path::new(parent), prefix, suffix));
    }
    folders.extend(below(&home.fetched_binaries(), 6));
    Ok(folders)
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let postgres =
        std::env::split_paths(&path).map(|folder| folder.join("postgres")).find(|file| file.is_file())?;
    // The one on the path is often a link to where all of them are.
    Some(postgres.canonicalize().ok()?.parent()?.to_owned())
}

fn named_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(folder.trim()))
}

/// The folders of a parent whose names are a prefix and a version, newest first.
fn versions_in(parent: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let mut folders: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.trim_start_matches('@');
            Some((version.parse().unwrap_or(0), entry.path().join(suffix)))
        })
        .collect();
    folders.sort_by(|left, right| right.cmp(left));
    folders.into_iter().map(|(_, folder)| folder).collect()
}

/// Folders below one that hold a `postgres`; packages nest them differently.
fn below(folder: &Path, depth: usize) -> Vec<PathBuf> {
    if depth == 0 {
        return Vec::new();
    }
    if folder.join("postgres").is_file() {
        return vec![folder.to_owned()];
    }
    let mut children: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    children.sort();
    children.iter().filter(|child| child.is_dir()).flat_map(|child| below(child, depth - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_the_server_prints() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major_of("postgres (EnterpriseDB) 16.1"), None);
        assert_eq!(major_of(""), None);
    }

    #[test]
    fn newer_versions_come_first() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["postgresql@9", "postgresql@17", "postgresql@16", "other"] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }
        let names: Vec<String> = versions_in(parent.path(), "postgresql", "bin")
            .iter()
            .map(|folder| folder.strip_prefix(parent.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["postgresql@17/bin", "postgresql@16/bin", "postgresql@9/bin"]);
    }
}
