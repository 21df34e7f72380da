//! A database that has no room, no time or no permission: the rows D of limits and refusals.

use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use kasparro_localpg::Scratch;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::recordings::skipped;

use super::database::{assert_temporary, session};
use crate::support::{Role, World, check_invariants, etl, number, texts};

/// A user of the database that may do all that its owner may, but is no superuser.
fn role(database: &TestDatabase, options: &str) -> Role {
    Role::new(database, &format!("in role postgres {options}"))
}

#[test]
fn d9_a_limit_of_connections_is_waited_for_and_then_told() {
    for (limit, calls) in [(0, 0), (1, 0)] {
        let world = World::new();
        let role = role(&world.database, &format!("connection limit {limit}"));
        let output = world.etl_at(&role.url).variable("ETL_DATABASE_WAIT_SECONDS", "0.4").run();
        assert_eq!(output.code, 75, "{limit}: {}", output.stderr);
        for words in ["too many connections", "trying again"] {
            assert!(output.stderr.contains(words), "{limit}: {words}: {}", output.stderr);
        }
        assert_eq!(world.simulator.requests().len(), calls, "{limit}");
        if limit > 0 {
            assert_temporary(&world, &output, "too many connections");
        }
    }
}

#[test]
fn d10_a_lock_that_somebody_keeps_is_waited_for_and_then_told() {
    for table in ["etl_batches", "observations", "coins"] {
        let world = World::new();
        let _keeper = session(&world.database, &format!("begin; lock table {table} in exclusive mode"));
        let output = world
            .etl()
            .variable("ETL_DATABASE_WAIT_SECONDS", "0.3")
            .arguments(["run", "--sources", "coinpaprika"])
            .run();
        assert_temporary(&world, &output, "lock");
    }
}

#[test]
fn d11_a_statement_that_takes_too_long_for_the_server_is_told_with_the_way_out() {
    let world = World::new();
    let role = role(&world.database, "");
    drop(session(&world.database, &format!("alter role {} set statement_timeout = '300ms'", role.name)));
    let _keeper = session(&world.database, "begin; lock table etl_batches in exclusive mode");
    let output = world.etl_at(&role.url).arguments(["run", "--sources", "coinpaprika"]).run();
    assert_temporary(&world, &output, "statement_timeout");
    assert!(output.stderr.contains("BATCH_SIZE"), "{}", output.stderr);
}

#[test]
fn d15_a_refusal_of_the_server_is_a_wrong_setting_and_is_not_tried_again() {
    // Where passwords are asked for.
    let server = Scratch::start().unwrap();
    let world = World::on(TestDatabase::on(server.cluster()));
    drop(session(
        &world.database,
        "create role reader login password 'right-4711'; create role loader login password 'right-4711' in role postgres",
    ));
    server.cluster().stop().unwrap();
    let rules = "local all postgres trust\nlocal all all scram-sha-256\n";
    std::fs::write(server.cluster().data().join("pg_hba.conf"), rules).unwrap();
    server.start_again().unwrap();
    let url = |user: &str, password: &str, database: &str| {
        let (_, rest) = world.database.url().split_once('?').unwrap();
        let rest = rest.replace("user=postgres", &format!("user={user}&password={password}"));
        format!("postgresql:///{database}?{rest}")
    };
    let name = world.database.name();
    for (url, words) in [
        (url("loader", "canary-wrong", name), "password authentication failed"),
        (url("nobody-at-all", "canary-wrong", name), "authentication failed"),
        (url("loader", "right-4711", "no_such_database"), "does not exist"),
        (url("reader", "right-4711", name), "permission denied"),
    ] {
        let output = world.etl_at(&url).run();
        assert_eq!(output.code, 78, "{words}: {}", output.stderr);
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
        for never in ["trying again", "canary", "right-4711"] {
            assert!(!output.stderr.contains(never), "{never}: {}", output.stderr);
        }
    }
    assert!(world.simulator.requests().is_empty(), "no call is spent");
    assert_eq!(world.etl_at(&url("loader", "right-4711", name)).run().code, 0);
    check_invariants(&mut world.database.connect());
}

/// A small disk that goes when it is dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where nothing may be mounted.
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let disk = Self { folder };
        let mounted =
            disk.command("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m,mode=777"), "tmpfs"]);
        mounted.then_some(disk)
    }

    fn grow(&self, megabytes: u32) {
        assert!(self.command("mount", &["-o", &format!("remount,size={megabytes}m")]));
    }

    fn command(&self, name: &str, arguments: &[&str]) -> bool {
        let status = std::process::Command::new(name)
            .args(arguments)
            .arg(self.folder.path())
            .stderr(std::process::Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.command("umount", &["-l"]);
    }
}

#[test]
fn d5_a_full_disk_is_told_once_and_harms_nothing() {
    let Some(disk) = SmallDisk::mount(16) else {
        return skipped("d5_a_full_disk_is_told_once_and_harms_nothing", "nothing may be mounted here");
    };
    let server = Scratch::start().unwrap();
    let database = TestDatabase::on(server.cluster());
    let mut admin =
        <PgConnection as diesel::Connection>::establish(&server.cluster().url("postgres")).unwrap();
    // The server makes its own folder in it, as the user that it runs as.
    let small = disk.folder.path().join("small");
    assert!(server.cluster().command("/bin/mkdir").arg(&small).status().unwrap().success());
    admin.batch_execute(&format!("create tablespace small location '{}'", small.display())).unwrap();
    admin.batch_execute(&format!("alter database {} set tablespace small", database.name())).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.csv");
    let row = |n: u32| {
        format!(
            "coin{},Coin,{}.{n},2025-03-{:02}T00:00:00Z\n",
            n / 28,
            n.wrapping_mul(2_654_435_761),
            1 + n % 28
        )
    };
    let rows: String = (0..60_000).map(row).collect();
    std::fs::write(&path, format!("id,name,price_usd,date\n{rows}")).unwrap();
    let load =
        || etl(database.url()).variable("KASPARRO_SOURCES", "csv").variable("CSV_FILE_PATH", &path).run();

    let output = load();
    assert_eq!(output.code, 75, "{}", output.stderr);
    assert!(output.stderr.contains("disk") && output.stderr.contains("full"), "{}", output.stderr);
    assert!(!output.stderr.contains("written again"), "trying again fills no disk less: {}", output.stderr);
    let mut connection = database.connect();
    assert_eq!(texts(&mut connection, "select failure_kind from etl_run_sources"), ["temporary"]);
    let whole = "select count(*) % 20000 from observations";
    assert_eq!(number(&mut connection, whole), 0, "batches are there whole or not at all");

    disk.grow(400);
    let output = load();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(number(&mut connection, "select count(*) from observations"), 60_000);
    check_invariants(&mut connection);
    drop((connection, admin, database, server));
}
