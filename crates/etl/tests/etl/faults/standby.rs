//! A standby that takes over while a run is at it: row D8 and section 5.4.

use std::path::PathBuf;
use std::time::Duration;

use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use kasparro_localpg::Scratch;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::recordings::skipped;
use kasparro_testkit::simulator::{Fault, Route, Universe};

use crate::support::{World, check_invariants, contents, number, texts};

const LONG: Duration = Duration::from_secs(120);

/// A standby of a scratch server, in the same socket folder under another port. Dropping it stops it.
struct Standby<'a> {
    primary: &'a Scratch,
    data: PathBuf,
}

/// The port only names the socket.
const PORT: &str = "5433";

impl<'a> Standby<'a> {
    /// Copies the primary and follows it.
    fn of(primary: &'a Scratch) -> Self {
        let cluster = primary.cluster();
        let mut admin = <PgConnection as diesel::Connection>::establish(&cluster.url("postgres")).unwrap();
        for setting in ["wal_level = replica", "max_wal_senders = 4", "hot_standby = on"] {
            admin.batch_execute(&format!("alter system set {setting}")).unwrap();
        }
        drop(admin);
        cluster.stop().unwrap();
        primary.start_again().unwrap();
        let data = std::env::temp_dir().join(format!("kasparro-standby-{}", std::process::id()));
        let source = cluster.url("postgres");
        let mut copy = cluster.command("pg_basebackup");
        copy.arg("-D").arg(&data).args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", &source]);
        assert!(copy.status().unwrap().success());
        let standby = Self { primary, data };
        standby.control(&["start", "-w", "-o", &format!("-c port={PORT}"), "-l"], true);
        standby
    }

    fn control(&self, arguments: &[&str], logged: bool) {
        let mut command = self.primary.cluster().command("pg_ctl");
        command.args(arguments);
        if logged {
            command.arg(self.data.join("log"));
        }
        let output = command.arg("-D").arg(&self.data).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn promote(&self) {
        self.control(&["promote", "-w"], false);
    }

    fn url(&self, database: &str) -> String {
        self.primary.cluster().url(database).replace("port=5432", &format!("port={PORT}"))
    }

    /// Both servers, of which libpq takes the one that can be written.
    fn urls(&self, database: &str) -> String {
        let url = self.primary.cluster().url(database);
        let host = url.split_once("host=").unwrap().1.split('&').next().unwrap().to_owned();
        url.replace(&format!("host={host}"), &format!("host={host},{host}"))
            .replace("port=5432", &format!("port=5432,{PORT}"))
            + "&target_session_attrs=read-write"
    }

    /// Waits until it has all that the primary has written.
    fn catch_up(&self, primary: &mut PgConnection) {
        let behind = "select count(*) from (select pg_current_wal_lsn() as lsn) w \
                       where not exists (select from pg_stat_replication where replay_lsn >= w.lsn)";
        while number(primary, behind) > 0 {
            primary.batch_execute("select pg_sleep(0.01)").unwrap();
        }
    }
}

impl Drop for Standby<'_> {
    fn drop(&mut self) {
        let mut command = self.primary.cluster().command("pg_ctl");
        let _ = command.args(["stop", "-m", "immediate", "-D"]).arg(&self.data).output();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

#[test]
fn d8_a_standby_that_takes_over_in_the_middle_of_a_run() {
    let test = "d8_a_standby_that_takes_over_in_the_middle_of_a_run";
    let primary = Scratch::start().unwrap();
    if !primary.cluster().bin("pg_basebackup").is_file() {
        return skipped(test, "pg_basebackup is not installed");
    }
    let universe = Universe::new(5).coins(600);
    let undisturbed = World::with(universe.clone());
    undisturbed.run("coinpaprika,coingecko");
    let want = contents(&mut undisturbed.database.connect());

    let world = World::of(TestDatabase::on(primary.cluster()), universe);
    let standby = Standby::of(&primary);
    let name = world.database.name();

    // A run against the standby itself has nowhere to write, and says what to do.
    let output = world.etl_at(&standby.url(name)).run();
    assert_eq!(output.code, 75, "{}", output.stderr);
    assert!(output.stderr.contains("target_session_attrs=read-write"), "{}", output.stderr);
    assert!(world.simulator.requests().is_empty());

    world.simulator.fault(Route::CoingeckoMarkets, Fault::hold()).on_page(2).once();
    let run = world.etl_at(&standby.urls(name)).variable("ETL_DATABASE_WAIT_SECONDS", "100").spawn();
    assert!(world.simulator.wait_for_requests(Route::CoingeckoMarkets, 2, LONG));
    let mut connection = world.database.connect();
    // CoinPaprika and the first page are in.
    while number(&mut connection, "select count(*) from etl_batches") < 2 {
        std::thread::yield_now();
    }
    // What a server has confirmed and not passed on is lost with it: also that a lease was given back.
    let held =
        "select count(*) from etl_lease where source = 'coinpaprika' and expires_at > clock_timestamp()";
    while number(&mut connection, held) > 0 {
        std::thread::yield_now();
    }
    standby.catch_up(&mut connection);
    drop(connection);
    primary.cluster().crash().unwrap();
    // The folder of the socket is the old server's; the new one is still in it.
    standby.promote();
    world.simulator.release();
    let output = run.wait(LONG);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let mut connection = kasparro_core::db::connect(&standby.url(name)).unwrap();
    assert_eq!(contents(&mut connection), want);
    assert_eq!(texts(&mut connection, "select status from etl_runs"), ["succeeded"]);
    check_invariants(&mut connection);
}
