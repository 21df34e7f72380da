//! Starts, finds and stops a cluster.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, RunQueryDsl};

use crate::binaries::Binaries;
use crate::config;
use crate::home::Home;
use crate::postmaster::Postmaster;
use crate::provision::provide;
use crate::user::ServerUser;

/// The superuser inside the cluster; whoever can reach the socket is trusted to be it.
const SUPERUSER: &str = "postgres";

/// How long a server that is coming up or recovering from a crash may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// A log longer than this is put aside at the next start.
const LONGEST_LOG_BYTES: u64 = 10 * 1024 * 1024;

/// Which cluster is meant, and what it is for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the cluster, made when it is absent.
    pub directory: PathBuf,
    /// Whether a confirmed commit survives a loss of power. Tests, which throw their data away, do without.
    pub durable: bool,
}

/// A cluster whose server runs.
///
/// Dropping it does not stop the server.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Whether this call started the server; false when it ran already.
    pub started_now: bool,
    home: Home,
    binaries: Binaries,
    user: ServerUser,
}

/// Starts the server of a cluster, unless it runs already; makes the cluster when there is none, and fetches server
/// binaries when the machine has none.
///
/// Calls from several processes at once wait for each other.
///
/// # Errors
/// There are no server binaries and none can be fetched, the data was made by another major version of Postgres, or
/// the server does not come up; the message says which, and what to do.
pub fn start(settings: &Settings) -> Result<Cluster> {
    let home = Home::make(&settings.directory)?;
    let _guard = home.guard()?;
    start_guarded(settings)
}

/// The cluster of a folder, if its server runs.
///
/// # Errors
/// The folder belongs to another user, or the server's binaries are gone.
pub fn find(directory: &Path) -> Result<Option<Cluster>> {
    let Some(home) = Home::find(directory).filter(|home| Postmaster::of(&home.data()) == Postmaster::Running)
    else {
        return Ok(None);
    };
    let user = ServerUser::choose(&home.data())?;
    let binaries = Binaries::find(&home, &user)?.context("the server runs, but its binaries are gone")?;
    Ok(Some(Cluster { started_now: false, home, binaries, user }))
}

/// As [`start`], for a caller that holds the guard of the home.
pub(crate) fn start_guarded(settings: &Settings) -> Result<Cluster> {
    let (home, user, binaries) = provide(&settings.directory)?;
    let mut cluster = Cluster { started_now: false, home, binaries, user };
    match Postmaster::of(&cluster.home.data()) {
        Postmaster::Running if cluster.socket().exists() => {
            cluster.wait_until_it_answers()?;
            return Ok(cluster);
        }
        // Its socket was swept away with other temporary files: alive, but out of reach.
        Postmaster::Running => cluster.stop_guarded()?,
        Postmaster::Stale => fs::remove_file(cluster.home.data().join("postmaster.pid"))?,
        Postmaster::Stopped => {}
    }
    cluster.make_data(settings.durable)?;
    cluster.launch(settings.durable)?;
    cluster.started_now = true;
    Ok(cluster)
}

impl Cluster {
    /// The address of a database of this cluster, for libpq.
    pub fn url(&self, database: &str) -> String {
        let host = self.home.socket_folder();
        format!("postgresql:///{database}?host={}&port={}&user={SUPERUSER}", host.display(), config::PORT)
    }

    /// Makes an empty database unless there is one of that name.
    ///
    /// # Errors
    /// The name has other characters than lower-case letters, digits and `_`, or the server refuses.
    pub fn create_database_if_missing(&self, name: &str) -> Result<()> {
        if name.is_empty() || !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
            bail!("a database name consists of lower-case letters, digits and _; got {name:?}");
        }
        let mut connection = self.connect("postgres")?;
        let exists = diesel::sql_query("select from pg_database where datname = $1")
            .bind::<diesel::sql_types::Text, _>(name);
        if exists.execute(&mut connection)? > 0 {
            return Ok(());
        }
        match connection.batch_execute(&format!("create database {name}")) {
            // Somebody else was faster.
            Err(error) if error.to_string().contains("already exists") => Ok(()),
            result => result.with_context(|| format!("cannot create the database {name}")),
        }
    }

    /// Stops the server and deletes the cluster with all of its data.
    ///
    /// # Errors
    /// The server does not stop, or a folder cannot be removed.
    pub fn remove(directory: &Path) -> Result<()> {
        if let Some(cluster) = find(directory)? {
            cluster.stop()?;
        }
        match Home::find(directory) {
            Some(home) => home.remove(),
            None => Ok(()),
        }
    }

    /// Stops the server. Connections are closed, what they had not committed is rolled back.
    ///
    /// # Errors
    /// The server does not stop within two minutes.
    pub fn stop(&self) -> Result<()> {
        let _guard = self.home.guard()?;
        self.stop_guarded()
    }

    /// Ends the server as a crash does: it recovers at the next start.
    ///
    /// # Errors
    /// The server does not stop within two minutes.
    pub fn crash(&self) -> Result<()> {
        let _guard = self.home.guard()?;
        self.stop_in_mode("immediate")
    }

    /// The path of one of the server's programs, such as `pg_ctl`. What there is beside `initdb`, `pg_ctl` and
    /// `postgres` depends on where the binaries come from.
    pub fn bin(&self, name: &str) -> PathBuf {
        self.binaries.folder.join(name)
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.home.data()
    }

    /// A command run as the user of the server, as its programs demand.
    pub fn command(&self, name: &str) -> Command {
        self.user.command(self.bin(name))
    }

    /// The major version of the server.
    pub fn major(&self) -> u32 {
        self.binaries.major
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn stop_guarded(&self) -> Result<()> {
        self.stop_in_mode("fast")
    }

    fn stop_in_mode(&self, mode: &str) -> Result<()> {
        if Postmaster::of(&self.home.data()) == Postmaster::Running {
            let mut command = self.command("pg_ctl");
            command.args(["stop", "-s", "-w", "-m", mode, "-t", "120", "-D"]).arg(self.home.data());
            self.expect_success(&mut command, "the server does not stop")?;
        }
        // Without a server they mean nothing; the next start makes them anew.
        let _ = fs::remove_dir(self.home.socket_folder());
        let _ = fs::remove_file(self.home.stop_when_unused());
        Ok(())
    }

    fn connect(&self, database: &str) -> Result<PgConnection> {
        PgConnection::establish(&self.url(database)).context("the private Postgres does not answer")
    }

    fn socket(&self) -> PathBuf {
        self.home.socket_folder().join(format!(".s.PGSQL.{}", config::PORT))
    }

    fn wait_until_it_answers(&self) -> Result<()> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            match self.connect("postgres") {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Makes the data directory unless it is there. It gets its name when it is complete, so that an interrupted
    /// attempt is not mistaken for data.
    fn make_data(&self, durable: bool) -> Result<()> {
        let data = self.home.data();
        if data.exists() {
            return Ok(());
        }
        let new = data.with_file_name("data.new");
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        fs::DirBuilder::new().mode(0o700).create(&new)?;
        self.user.give(&new)?;
        let mut initdb = self.command("initdb");
        initdb.arg("-D").arg(&new).args([
            "-U",
            SUPERUSER,
            "--no-locale",
            "--encoding=UTF8",
            "--no-instructions",
        ]);
        initdb.args(["--auth-local=trust", "--auth-host=reject"]);
        if !durable {
            initdb.arg("--no-sync");
        }
        self.expect_success(&mut initdb, "cannot make a new cluster")?;
        let settings = new.join("postgresql.conf");
        let text = fs::read_to_string(&settings)?;
        fs::write(&settings, format!("{text}\ninclude_if_exists = '{}'\n", config::FILE))?;
        fs::rename(&new, &data)?;
        Ok(())
    }

    fn launch(&self, durable: bool) -> Result<()> {
        self.home.make_socket_folder(&self.user)?;
        config::write(&self.home.data(), &self.home.socket_folder(), durable, &self.binaries, &self.user)?;
        self.put_long_log_aside()?;
        let mut command = self.command("pg_ctl");
        command
            .args(["start", "-s", "-w", "-t", "120", "-D"])
            .arg(self.home.data())
            .arg("-l")
            .arg(self.home.log());
        self.expect_success(&mut command, "the server does not start").with_context(|| self.end_of_log())
    }

    fn put_long_log_aside(&self) -> Result<()> {
        let folder = self.home.log_folder();
        fs::create_dir_all(&folder)?;
        self.user.give(&folder)?;
        let log = self.home.log();
        if fs::metadata(&log).is_ok_and(|log| log.len() > LONGEST_LOG_BYTES) {
            fs::rename(&log, log.with_extension("log.old"))?;
        }
        Ok(())
    }

    fn end_of_log(&self) -> String {
        let log = self.home.log();
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        let end = lines.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        format!("the private Postgres did not start; {} ends with\n  {end}\n", log.display())
    }

    fn expect_success(&self, command: &mut Command, failure: &str) -> Result<()> {
        let output: Output = command.output().with_context(|| format!("{failure}: {command:?}"))?;
        if output.status.success() {
            return Ok(());
        }
        bail!("{failure}: {}", String::from_utf8_lossy(&output.stderr).trim())
    }
}
