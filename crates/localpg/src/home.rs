//! Where a cluster lives: its folder, its socket and its locks.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};

use crate::user::{self, ServerUser};

/// Names the folder that a cluster really lives in, when it cannot live where it was wanted.
const POINTER: &str = "moved-to";

/// Where the data goes when the server's user cannot reach the folder that was asked for, best first: what lies in the
/// second one unused for a month may be swept away.
const ELSEWHERE: [&str; 2] = ["/var/lib", "/var/tmp"];

/// The paths of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    /// The folder that was asked for; locks and the pointer are here.
    wanted: PathBuf,
    /// The folder that holds data, log and fetched binaries.
    base: PathBuf,
}

impl Home {
    /// The home of a cluster that exists, or `None` when none was ever made in the folder.
    pub(crate) fn find(directory: &Path) -> Option<Self> {
        let wanted = directory.canonicalize().ok()?;
        let base = pointed_to(&wanted).unwrap_or_else(|| wanted.clone());
        base.join("data").is_dir().then_some(Self { wanted, base })
    }

    /// Makes the folder and returns the home in it.
    pub(crate) fn make(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let wanted = directory.canonicalize()?;
        let base = pointed_to(&wanted).unwrap_or_else(|| wanted.clone());
        Ok(Self { wanted, base })
    }

    /// Moves a home that has no data yet to a folder that the server's user can reach, if it cannot reach this one.
    ///
    /// The case is a checkout under root's home folder: the user that the server has to run as cannot enter it.
    pub(crate) fn settle(self, user: &ServerUser) -> Result<Self> {
        if user.can_enter(&self.base) && probe_ownership(&self.base, user).is_ok() {
            fs::create_dir_all(&self.base)?;
            return Ok(self);
        }
        if self.data().exists() {
            bail!("the server's user cannot reach {}; nothing was changed", self.data().display());
        }
        let base = self.make_base_elsewhere()?;
        let pointer = self.wanted.join(POINTER);
        fs::write(&pointer, format!("{}\n", base.display()))
            .with_context(|| format!("cannot write {}", pointer.display()))?;
        eprintln!(
            "Postgres: its user cannot enter {}, so the data is kept in {}",
            self.wanted.display(),
            base.display()
        );
        Ok(Self { base, ..self })
    }

    fn make_base_elsewhere(&self) -> Result<PathBuf> {
        let name = format!("kasparro-{}", short_hash(&self.wanted));
        let own = rustix::process::geteuid().as_raw();
        let mut made = Err(anyhow!("there is no folder for data"));
        for parent in ELSEWHERE {
            let base = Path::new(parent).join(&name);
            made = make_private_folder(&base, own, 0o755).map(|()| base);
            if made.is_ok() {
                break;
            }
        }
        made
    }

    /// The folder that was asked for.
    pub(crate) fn wanted(&self) -> &Path {
        &self.wanted
    }

    /// The folder that the data is in.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// The data directory of the server.
    pub(crate) fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    /// The folder of the server's log.
    pub(crate) fn log_folder(&self) -> PathBuf {
        self.base.join("log")
    }

    /// The server's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.log_folder().join("postgres.log")
    }

    /// Binaries that were fetched for this cluster alone.
    pub(crate) fn fetched_binaries(&self) -> PathBuf {
        self.base.join("server")
    }

    /// The folder of the socket. The path of a socket has a limit of about 100 bytes and the folder of a cluster
    /// may lie deep, so this one is short, and the same whatever `TMPDIR` says in the terminal at hand.
    pub(crate) fn socket_folder(&self) -> PathBuf {
        PathBuf::from("/tmp").join(format!("kasparro-pg-{}", short_hash(&self.wanted)))
    }

    /// Makes the folder of the socket, for the server's user alone.
    pub(crate) fn make_socket_folder(&self, user: &ServerUser) -> Result<()> {
        let folder = self.socket_folder();
        if fs::symlink_metadata(&folder).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            make_private_folder(&folder, rustix::process::geteuid().as_raw(), 0o700)?;
            user.give(&folder)?;
        }
        make_private_folder(&folder, user.uid(), 0o700)
    }

    /// Exclusive right to start or stop this cluster; released when dropped or when the process ends.
    pub(crate) fn guard(&self) -> Result<File> {
        let file = self.lock_file("lock")?;
        file.lock().context("cannot lock the folder of the private Postgres")?;
        Ok(file)
    }

    /// The file that every user of a cluster holds a shared lock on.
    pub(crate) fn in_use(&self) -> Result<File> {
        self.lock_file("in-use")
    }

    /// Marks a cluster that was started for one command: it is stopped when nobody uses it any more.
    pub(crate) fn stop_when_unused(&self) -> PathBuf {
        self.wanted.join("stop-when-unused")
    }

    /// Deletes the cluster: data, log, fetched binaries and the marks of this home.
    pub(crate) fn remove(&self) -> Result<()> {
        for folder in [self.data(), self.log_folder(), self.fetched_binaries()] {
            if folder.exists() {
                fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        for folder in [&self.base, &self.wanted] {
            for mark in [POINTER, "lock", "in-use", "stop-when-unused"] {
                let _ = fs::remove_file(folder.join(mark));
            }
            // Only if it is empty: what somebody else put there stays.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }

    fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.wanted.join(name);
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))
    }
}

fn pointed_to(wanted: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(wanted.join(POINTER)).ok()?;
    Some(PathBuf::from(text.trim()))
}

/// Some file systems (shared folders of virtual machines) do not let root give a folder away.
fn probe_ownership(base: &Path, user: &ServerUser) -> io::Result<()> {
    let probe = base.join("probe");
    fs::create_dir(&probe).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    })?;
    let given = user.give(&probe);
    fs::remove_dir(&probe)?;
    given
}

/// Makes a folder in a place that anybody may write to, or accepts the one that is there if nobody else made it.
fn make_private_folder(folder: &Path, owner: u32, mode: u32) -> Result<()> {
    match fs::DirBuilder::new().mode(mode).create(folder) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("cannot make {}", folder.display())),
    }
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != owner || found.mode() & 0o022 != 0 {
        bail!("{} is there already and belongs to somebody else; remove it and try again", folder.display());
    }
    Ok(())
}

fn short_hash(path: &Path) -> String {
    let mut hash = Sha256::new();
    hash.update(path.as_os_str().as_encoded_bytes());
    // Root and a user may share a folder one after the other, but not a socket.
    hash.update(if user::is_root() { b"root" } else { b"user" });
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
