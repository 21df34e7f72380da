//! The simulator of a demo, and the note by which other terminals find it.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::target::Target;

/// Both have to be said by the simulator before a demo can begin.
const BASE_URLS: [&str; 2] = ["COINPAPRIKA_BASE_URL", "COINGECKO_BASE_URL"];

/// A configured key would make the ETL speak to the simulator as to the paid service.
const KEYS: [&str; 4] =
    ["COINPAPRIKA_API_KEY", "COINPAPRIKA_API_KEY_FILE", "COINGECKO_API_KEY", "COINGECKO_API_KEY_FILE"];

/// A demo: what the programs of one have in their environment.
pub(crate) struct Demo {
    variables: Vec<(String, String)>,
    /// Ended with the demo, by the terminal that began it; others only join.
    _simulator: Option<Simulator>,
}

struct Simulator {
    process: Child,
    note: PathBuf,
    /// Locked as long as the demo runs: a note that was left behind by a kill is told from a true one.
    _lock: File,
}

impl Demo {
    /// Starts the simulator, and leaves a note about it beside the folder of the private server.
    pub(crate) fn start(program: &Path, target: &Target) -> Result<Self> {
        let Target::Private { session, url } = target else {
            bail!("a demo has a database of its own");
        };
        let note = note(session.directory());
        let mut lock = File::options().create(true).truncate(false).read(true).write(true).open(&note)?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            bail!("a demo runs already in this folder");
        }
        let mut process = Command::new(program)
            .args(["--port", "0", "--tick-seconds", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let announced = process.stdout.take().context("the simulator has no output").and_then(read_base_urls);
        let simulator = Simulator { process, note, _lock: lock.try_clone()? };
        let mut variables = announced?;
        variables.push(("DATABASE_URL".to_owned(), url.clone()));
        let text: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        lock.set_len(0)?;
        lock.write_all(text.as_bytes())?;
        Ok(Self { variables, _simulator: Some(simulator) })
    }

    /// The demo that runs beside the private server of a folder, if there is one.
    pub(crate) fn join(directory: &Path) -> Result<Option<Self>> {
        let note = note(directory);
        let Ok(mut file) = File::open(&note) else { return Ok(None) };
        if file.try_lock_shared().is_ok() {
            fs::remove_file(&note)?;
            return Ok(None);
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let variables = text.lines().filter_map(variable).collect();
        Ok(Some(Self { variables, _simulator: None }))
    }

    /// Tells a command about the simulated sources and the database.
    pub(crate) fn describe_to(&self, command: &mut Command) {
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("DATABASE_URL_FILE", "").env("KASPARRO_SOURCES", "");
        command.envs(KEYS.map(|name| (name, "")));
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.note);
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

fn note(directory: &Path) -> PathBuf {
    directory.with_file_name("demo.env")
}

/// Reads lines such as `COINGECKO_BASE_URL=http://…` until both addresses are known.
fn read_base_urls(output: impl Read + Send + 'static) -> Result<Vec<(String, String)>> {
    let mut lines = BufReader::new(output).lines();
    let mut found = Vec::new();
    while found.len() < BASE_URLS.len() {
        let line = lines.next().context("the simulator ended before it said its addresses")??;
        found.extend(variable(&line).filter(|(name, _)| BASE_URLS.contains(&name.as_str())));
    }
    // Read on: a full pipe would stop the simulator.
    std::thread::spawn(move || lines.for_each(drop));
    Ok(found)
}

fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim().split_once('=')?;
    Some((name.trim_start_matches("export ").to_owned(), value.to_owned()))
}
