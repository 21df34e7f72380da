//! What `make run`, `make demo` and `make etl` do: the programs in their order, on one database.

use std::fmt::Display;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use kasparro_localpg::{NoServer, Settings};

use crate::child::Signals;
use crate::demo::Demo;
use crate::environment::setting;
use crate::target::Target;

/// The sample that comes with the project; loaded unless a file or folder is configured.
const SAMPLE: &str = "data/crypto_sample.csv";

/// Where the API listens unless `PORT` says otherwise.
const DEFAULT_PORT: u16 = 8000;

/// Exit codes of the ETL after which serving makes no sense: usage, database away, configuration or schema.
/// After the others, such as a source that cannot be reached, the rest is loaded.
const FATAL: [u8; 3] = [64, 75, 78];

/// Migrates, loads once and serves until a signal comes.
pub(crate) fn run(directory: &Path, database: &str) -> Result<u8> {
    require_free_port()?;
    let signals = Signals::watch()?;
    let target = match Target::choose(directory, database) {
        Err(error) if error.is::<NoServer>() && docker_works() => return in_containers(&signals, &error),
        target => target?,
    };
    let served = load(&signals, &target, None, &[]).and_then(|code| serve(&signals, &target, None, code));
    target.leave()?;
    served
}

/// As [`run`], with both APIs played by the simulator and on a database of its own.
pub(crate) fn demo(directory: &Path, database: &str) -> Result<u8> {
    require_free_port()?;
    let signals = Signals::watch()?;
    let settings = Settings { directory: directory.to_owned(), durable: true };
    let target = Target::private(&settings, database)?;
    let served = Demo::start(&program("kasparro-simulator")?, &target).and_then(|demo| {
        let code = load(&signals, &target, Some(&demo), &[])?;
        serve(&signals, &target, Some(&demo), code)
    });
    target.leave()?;
    served
}

/// Migrates and loads once: from the sources and into the database of the demo while one runs.
pub(crate) fn etl(directory: &Path, database: &str, arguments: &[String]) -> Result<u8> {
    let signals = Signals::watch()?;
    if let Some(demo) = Demo::join(directory)? {
        say("a demo runs: loading from its simulator into its database");
        return load(&signals, &Target::Configured, Some(&demo), arguments);
    }
    let target = Target::choose(directory, database)?;
    let loaded = load(&signals, &target, None, arguments);
    target.leave()?;
    loaded
}

fn load(signals: &Signals, target: &Target, demo: Option<&Demo>, arguments: &[String]) -> Result<u8> {
    let etl = |task: &str| -> Result<Command> {
        let mut command = Command::new(program("kasparro-etl")?);
        command.arg(task);
        target.describe_to(&mut command);
        if setting("CSV_FILE_PATH").is_none() && Path::new(SAMPLE).is_file() {
            command.env("CSV_FILE_PATH", SAMPLE);
        }
        demo.inspect(|demo| demo.describe_to(&mut command));
        Ok(command)
    };
    match signals.run(&mut etl("migrate")?)? {
        0 => signals.run(etl("run")?.args(arguments)),
        code => Ok(code),
    }
}

fn serve(signals: &Signals, target: &Target, demo: Option<&Demo>, loaded: u8) -> Result<u8> {
    if let Some(code) = signals.interrupted() {
        return Ok(code);
    }
    let ended_by_signal = loaded >= 128;
    if ended_by_signal || FATAL.contains(&loaded) {
        return Ok(loaded);
    }
    if loaded != 0 {
        say(format!("not everything could be loaded (exit code {loaded}, see above); serving what there is"));
    }
    // Its addresses are said by the API itself, once it listens.
    say("starting the API; Ctrl-C ends it");
    if demo.is_some() {
        say("a demo: every price is made up; `make etl` in another terminal loads new ones");
    }
    let mut api = Command::new(program("kasparro-api")?);
    target.describe_to(&mut api);
    demo.inspect(|demo| demo.describe_to(&mut api));
    signals.run(&mut api)
}

/// Tries the port that the API will listen on before anything else: a taken one should not show only after the load.
fn require_free_port() -> Result<()> {
    let port = match setting("PORT") {
        Some(text) => text
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .with_context(|| format!("PORT has to be a number from 1 to 65535, not {text:?}"))?,
        None => DEFAULT_PORT,
    };
    match TcpListener::bind(("0.0.0.0", port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!(
                "port {port} is taken by another program; choose another one: PORT={} make run",
                port.wrapping_add(1)
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on port {port}")),
    }
}

/// The workspace's programs lie side by side.
fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.is_file() {
        bail!("{} is missing; build it with `make build`", path.display());
    }
    Ok(path)
}

fn docker_works() -> bool {
    let mut info = Command::new("docker");
    info.arg("info").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    info.status().is_ok_and(|status| status.success())
}

fn in_containers(signals: &Signals, why: &anyhow::Error) -> Result<u8> {
    say(format!("{why:#}"));
    say("docker works here: everything runs in containers instead (make up; make down ends it)");
    signals.run(Command::new("make").arg("up"))
}

fn say(line: impl Display) {
    eprintln!("Kasparro: {line}");
}
