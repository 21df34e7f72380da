//! A cluster that is thrown away: it ends with the process that started it, however that ends.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::cluster::{self, Cluster, Settings};
use crate::home::Home;
use crate::user::ServerUser;

/// Names the folder of a cluster that all test programs of one run share.
pub const SHARED_CLUSTER_VARIABLE: &str = "KASPARRO_TEST_CLUSTER_DIR";

/// Waits for the end of its standard input, which the death of the process at the other end brings about too; then
/// takes the server down and removes the folders. Written for `sh`, because a killed process runs no code of its own.
const WATCHDOG: &str = r#"
data=$1
shift
read -r _
if pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null); then
    kill -QUIT "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
fi
rm -rf "$@"
"#;

/// A cluster for tests and trials. Dropping it stops the server and removes its data; a watchdog process does that if
/// this one is killed.
#[derive(Debug)]
pub struct Scratch {
    settings: Settings,
    cluster: Cluster,
    watchdog: Child,
}

impl Scratch {
    /// Makes and starts a cluster that does not wait for the disk.
    ///
    /// # Errors
    /// As [`start`](crate::start).
    pub fn start() -> Result<Self> {
        let directory = make_folder()?;
        let settings = Settings { directory, durable: false };
        let home = Home::make(&settings.directory)?;
        let home = home.clone().settle(&ServerUser::choose(&home.data())?)?;
        // Before there is anything to remove: nothing is left behind by a kill at a bad moment.
        let mut watchdog = watch(&home)?;
        match cluster::start(&settings) {
            Ok(cluster) => Ok(Self { settings, cluster, watchdog }),
            Err(error) => {
                dismiss(&mut watchdog);
                Err(error)
            }
        }
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The folder that the cluster was asked to live in.
    pub fn directory(&self) -> &Path {
        &self.settings.directory
    }

    /// Starts the server again after it was stopped. Its URLs stay the same.
    ///
    /// # Errors
    /// As [`start`](crate::start).
    pub fn start_again(&self) -> Result<()> {
        cluster::start(&self.settings).map(drop)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        dismiss(&mut self.watchdog);
    }
}

fn watch(home: &Home) -> Result<Child> {
    let folders: [PathBuf; 3] = [home.wanted().to_owned(), home.base().to_owned(), home.socket_folder()];
    Command::new("sh")
        .args(["-c", WATCHDOG, "kasparro-watchdog"])
        .arg(home.data())
        .args(folders)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A Ctrl-C is meant for the tests; the watchdog has to outlive it.
        .process_group(0)
        .spawn()
        .context("cannot watch over the private Postgres")
}

/// Lets a watchdog do its work at once.
fn dismiss(watchdog: &mut Child) {
    drop(watchdog.stdin.take());
    let _ = watchdog.wait();
}

fn make_folder() -> Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    let folder =
        std::env::temp_dir().join(format!("kasparro-scratch-{}-{number}-{now:x}", std::process::id()));
    fs::DirBuilder::new()
        .mode(0o755)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
