//! The operating-system user that the server runs as.
//!
//! Postgres refuses to run as root. Started by root, it runs as the owner of its data, else as `postgres`,
//! else as `nobody`; started by anybody else, as that user.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Who runs the server, and whether its commands have to change to that user first.
#[derive(Clone, Debug)]
pub(crate) struct ServerUser {
    uid: u32,
    gid: u32,
    switch: bool,
}

impl ServerUser {
    /// Chooses the user for a data directory, which need not exist yet.
    pub(crate) fn choose(data: &Path) -> Result<Self> {
        let own = rustix::process::geteuid().as_raw();
        let owner = std::fs::metadata(data).ok().map(|data| (data.uid(), data.gid()));
        if own != 0 {
            if let Some((uid, _)) = owner.filter(|(uid, _)| *uid != own) {
                bail!(
                    "{} belongs to the user with the number {uid}; go on as that user or as root",
                    data.display()
                );
            }
            let gid = rustix::process::getegid().as_raw();
            return Ok(Self { uid: own, gid, switch: false });
        }
        let (uid, gid) = owner
            .filter(|(uid, _)| *uid != 0)
            .or_else(|| ids("postgres"))
            .or_else(|| ids("nobody"))
            .context(
                "Postgres does not run as root, and there is neither a user postgres nor a user nobody",
            )?;
        Ok(Self { uid, gid, switch: true })
    }

    /// A command run as this user, from a folder that it can enter and without the caller's `PG*` variables:
    /// a stray `PGDATA` or `PGHOST` must not lead to somebody else's server.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
        // A Ctrl-C is for the caller, who then stops the server in good order.
        command.process_group(0);
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Makes this user the owner of a file or folder that the caller has made.
    pub(crate) fn give(&self, path: &Path) -> std::io::Result<()> {
        if self.switch { chown(path, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }

    /// Whether this user can pass through the folder.
    pub(crate) fn can_enter(&self, folder: &Path) -> bool {
        if !self.switch {
            return true;
        }
        // Asked of the system: modes alone do not tell, there are access lists and mount options.
        self.command("sh")
            .args(["-c", "cd \"$1\"", "sh"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// The user's number.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }
}

fn ids(name: &str) -> Option<(u32, u32)> {
    let ask = |flag: &str| {
        let output = Command::new("id").args([flag, name]).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    Some((ask("-u")?, ask("-g")?))
}

/// Whether the caller is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
