//! PgBouncer in transaction mode, where it is installed.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use kasparro_localpg::Cluster;

use crate::database::server;
use crate::recordings::skipped;

/// A pooler in front of every database of a cluster. Dropping it ends it.
#[derive(Debug)]
pub struct Pooler {
    port: u16,
    process: Child,
    folder: PathBuf,
}

/// Where Debian puts it, which is not on everybody's path.
const PROGRAMS: [&str; 3] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];

impl Pooler {
    /// Starts one with so many server connections; where it is not installed, says that the named test is skipped.
    ///
    /// Panics when it is installed and does not start.
    #[track_caller]
    pub fn start_or_skip(test: &str, cluster: &Cluster, connections: u32) -> Option<Self> {
        match Self::start(cluster, connections) {
            Ok(None) => {
                skipped(test, "pgbouncer is not installed");
                None
            }
            Ok(started) => started,
            Err(error) => panic!("pgbouncer does not start: {error:#}"),
        }
    }

    /// Starts one with so many server connections; `None` where it is not installed.
    ///
    /// # Errors
    /// When it is installed and does not start.
    pub fn start(cluster: &Cluster, connections: u32) -> Result<Option<Self>> {
        let program = PROGRAMS.iter().map(Path::new).find(|path| path.is_file());
        program.map(|program| Self::launch(program, cluster, connections)).transpose()
    }

    fn launch(program: &Path, cluster: &Cluster, connections: u32) -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let folder = std::env::temp_dir().join(format!("kasparro-pooler-{}-{port}", std::process::id()));
        fs::create_dir(&folder).context("a folder for its settings")?;
        // It runs as the user of the server, not as root.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let url = cluster.url("x");
        let part = |name: &str| {
            let (_, query) = url.split_once('?')?;
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let host = part("host").context("the cluster has no socket")?.replace("%2F", "/");
        let server = format!(
            "host={host} port={} user={}",
            part("port").unwrap_or("5432"),
            part("user").unwrap_or("postgres")
        );
        let settings = folder.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n* = {server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 200\n"
        );
        fs::write(&settings, text)?;
        let mut command = cluster.command(&program.display().to_string());
        let process = command.arg("-q").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut pooler = Self { port, process, folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if pooler.process.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("it does not listen on port {port}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(pooler)
    }

    /// Where it listens on the loopback address.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a database through the pooler.
    pub fn url(&self, database: &str) -> String {
        url_at(&self.port.to_string(), database)
    }
}

fn url_at(port: &str, database: &str) -> String {
    format!("postgresql://postgres@127.0.0.1:{port}/{database}?sslmode=disable&gssencmode=disable")
}

/// The port of the pooler through which all tests are to reach the shared server, if they are.
pub const POOLER_VARIABLE: &str = "KASPARRO_TEST_POOLER_PORT";

/// The address through the pooler of a database of the shared server, where all tests are to go through one.
pub fn instead_of(url: &str) -> Option<String> {
    let port = std::env::var(POOLER_VARIABLE).ok()?;
    let (database, _) = url.strip_prefix("postgresql:///")?.split_once('?')?;
    (server().url(database) == url).then(|| url_at(&port, database))
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Says that a test is skipped where all go through a pooler: it is about sessions of a program's own.
#[must_use]
pub fn skip_behind_one(test: &str) -> bool {
    let pooled = std::env::var_os(POOLER_VARIABLE).is_some();
    if pooled {
        skipped(test, "behind a pooler the sessions are not the program's own");
    }
    pooled
}
