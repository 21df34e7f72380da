//! PgBouncer in transaction mode, where it is installed.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use kasparro_localpg::Cluster;

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
        let Some(program) = PROGRAMS.iter().map(Path::new).find(|path| path.is_file()) else {
            skipped(test, "pgbouncer is not installed");
            return None;
        };
        match Self::start(program, cluster, connections) {
            Ok(pooler) => Some(pooler),
            Err(error) => panic!("pgbouncer does not start: {error:#}"),
        }
    }

    fn start(program: &Path, cluster: &Cluster, connections: u32) -> Result<Self> {
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

    /// The address of a database through the pooler.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}?sslmode=disable&gssencmode=disable", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
