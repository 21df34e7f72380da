//! A fresh database per test, copied from a template that was migrated once.
//!
//! `make test` starts one throwaway server for all test programs and names its folder in
//! `KASPARRO_TEST_CLUSTER_DIR`. Without that, as under a plain `cargo test`, the first test that needs a database
//! starts one for its program, which ends with the program.
//!
//! Everything here panics on failure, as an assertion does: a test without its database has failed.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{Connection, PgConnection, QueryResult, RunQueryDsl, sql_query};
use kasparro_localpg::{Cluster, SHARED_CLUSTER_VARIABLE, Scratch, Settings};
use sha2::{Digest, Sha256};

/// Key of the advisory lock under which the template is made ("testtmpl" in ASCII).
const TEMPLATE_LOCK: i64 = 0x7465_7374_746d_706c;

/// The server that the databases of this test program are in.
///
/// Other tests use it at the same time. One that stops its server takes a [`Scratch`] of its own and
/// [`TestDatabase::on`].
#[track_caller]
pub fn server() -> &'static Cluster {
    static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
    match SHARED.get_or_init(|| Server::reach().map_err(|error| format!("{error:#}"))) {
        Ok(Server::Shared(cluster)) => cluster,
        Ok(Server::Own(scratch)) => scratch.cluster(),
        Err(error) => panic!("no Postgres for the tests: {error}"),
    }
}

enum Server {
    Shared(Cluster),
    Own(Scratch),
}

impl Server {
    fn reach() -> anyhow::Result<Self> {
        match std::env::var_os(SHARED_CLUSTER_VARIABLE) {
            Some(directory) => {
                let settings = Settings { directory: directory.into(), durable: false };
                Ok(Self::Shared(kasparro_localpg::start(&settings)?))
            }
            None => Ok(Self::Own(Scratch::start()?)),
        }
    }
}

/// A database of one test. Dropping it removes it, whoever is still connected.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    admin_url: String,
}

impl TestDatabase {
    /// A database with Kasparro's tables, and nothing in them but what the migrations put there.
    #[allow(
        clippy::new_without_default,
        reason = "it makes a database: that should not hide behind a default"
    )]
    #[track_caller]
    pub fn new() -> Self {
        Self::on(server())
    }

    /// As [`new`](Self::new), in another server than the shared one.
    #[track_caller]
    pub fn on(cluster: &Cluster) -> Self {
        let template = must("make the template", template(cluster));
        Self::create(cluster, &template)
    }

    /// A database without tables.
    #[track_caller]
    pub fn empty() -> Self {
        Self::create(server(), "template0")
    }

    /// The address of the database, for libpq.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A connection of the kind that Kasparro's programs make.
    #[track_caller]
    pub fn connect(&self) -> PgConnection {
        must("connect to the test's database", kasparro_core::db::connect(&self.url))
    }

    #[track_caller]
    fn create(cluster: &Cluster, template: &str) -> Self {
        let name = unique_name();
        let (url, admin_url) = (cluster.url(&name), cluster.url("postgres"));
        let mut admin = must("connect to the server", PgConnection::establish(&admin_url));
        must("make a database", admin.batch_execute(&format!("create database {name} template {template}")));
        Self { name, url, admin_url }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // The server may be stopped by now; then its data goes with it.
        if let Ok(mut admin) = PgConnection::establish(&self.admin_url) {
            let _ = admin.batch_execute(&format!("drop database if exists {} with (force)", self.name));
        }
    }
}

/// The name of the migrated template of a server, which is made now if it is missing.
///
/// The name holds a hash of the migrations: a changed one gets a template of its own.
fn template(cluster: &Cluster) -> anyhow::Result<String> {
    let name = format!("template_{}", hash_of_migrations()?);
    let mut admin = PgConnection::establish(&cluster.url("postgres"))?;
    // Test programs run side by side. The lock goes with the connection.
    sql_query("select pg_advisory_lock($1)").bind::<BigInt, _>(TEMPLATE_LOCK).execute(&mut admin)?;
    if !is_finished(&mut admin, &name)? {
        admin.batch_execute(&format!("drop database if exists {name} with (force)"))?;
        admin.batch_execute(&format!("create database {name} template template0"))?;
        kasparro_core::db::migrate(&cluster.url(&name))?;
        // Marks it as finished. A database that somebody is connected to cannot be copied: nobody may.
        admin
            .batch_execute(&format!("alter database {name} with is_template true allow_connections false"))?;
    }
    Ok(name)
}

fn is_finished(admin: &mut PgConnection, name: &str) -> QueryResult<bool> {
    let found =
        sql_query("select from pg_database where datname = $1 and datistemplate").bind::<Text, _>(name);
    Ok(found.execute(admin)? > 0)
}

fn hash_of_migrations() -> anyhow::Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut files = Vec::new();
    for migration in std::fs::read_dir(&folder)? {
        let up = migration?.path().join("up.sql");
        if up.is_file() {
            files.push(up);
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.strip_prefix(&folder)?.as_os_str().as_encoded_bytes());
        hash.update(std::fs::read(file)?);
    }
    Ok(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

fn unique_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("test_{}_{number}_{now:x}", std::process::id())
}

#[track_caller]
fn must<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("cannot {what}: {error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(connection: &mut PgConnection, tables_named: &str) -> usize {
        let query = sql_query("select from pg_tables where tablename = $1").bind::<Text, _>(tables_named);
        query.execute(connection).unwrap()
    }

    #[test]
    fn a_new_database_has_the_tables_and_an_empty_one_has_none() {
        assert_eq!(count(&mut TestDatabase::new().connect(), "observations"), 1);
        assert_eq!(count(&mut TestDatabase::empty().connect(), "observations"), 0);
    }

    #[test]
    fn what_one_test_writes_no_other_sees() {
        let (one, other) = (TestDatabase::new(), TestDatabase::new());
        one.connect().batch_execute("create table only_here (id int)").unwrap();
        assert_eq!(count(&mut one.connect(), "only_here"), 1);
        assert_eq!(count(&mut other.connect(), "only_here"), 0);
    }

    #[test]
    fn a_database_goes_with_its_test_even_while_somebody_is_connected() {
        let database = TestDatabase::new();
        let name = database.name().to_owned();
        let still_there = database.connect();
        drop(database);
        drop(still_there);
        let mut admin = PgConnection::establish(&server().url("postgres")).unwrap();
        let found = sql_query("select from pg_database where datname = $1").bind::<Text, _>(name);
        assert_eq!(found.execute(&mut admin).unwrap(), 0);
    }

    #[test]
    fn fifty_tests_at_once_get_fifty_databases() {
        let databases: Vec<TestDatabase> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..50).map(|_| scope.spawn(TestDatabase::new)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut names: Vec<&str> = databases.iter().map(TestDatabase::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 50);
    }

    #[test]
    fn a_server_of_its_own_can_be_stopped_by_a_test() {
        let scratch = Scratch::start().unwrap();
        let database = TestDatabase::on(scratch.cluster());
        scratch.cluster().stop().unwrap();
        assert!(kasparro_core::db::connect(database.url()).is_err());
        scratch.start_again().unwrap();
        assert_eq!(count(&mut database.connect(), "observations"), 1);
    }
}
