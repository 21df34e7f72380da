//! Whether the server of a data directory runs.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What `postmaster.pid` in a data directory stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Postmaster {
    /// No server: the file is absent, or its process is gone and the next start replaces it.
    Stopped,
    /// The server of this directory.
    Running,
    /// The number belongs to another program now, as after a crash of the machine. The server would refuse to start.
    Stale,
}

impl Postmaster {
    /// Looks at the process that the file names.
    pub(crate) fn of(data: &Path) -> Self {
        let Some(pid) = pid_in(data) else { return Self::Stopped };
        match arguments_of(pid) {
            None => Self::Stopped,
            Some(arguments) if arguments.contains(&*data.to_string_lossy()) => Self::Running,
            Some(_) => Self::Stale,
        }
    }
}

fn pid_in(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

fn arguments_of(pid: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&arguments).replace('\0', " "));
    }
    let output = Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_server_is_stopped() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(Postmaster::of(data.path()), Postmaster::Stopped);
    }

    #[test]
    fn a_number_taken_over_by_another_program_is_stale() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("postmaster.pid"), format!("{}\n", std::process::id())).unwrap();
        assert_eq!(Postmaster::of(data.path()), Postmaster::Stale);
    }

    #[test]
    fn a_number_that_nobody_has_is_stopped() {
        let data = tempfile::tempdir().unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        fs::write(data.path().join("postmaster.pid"), format!("{}\n", child.id())).unwrap();
        assert_eq!(Postmaster::of(data.path()), Postmaster::Stopped);
    }
}
