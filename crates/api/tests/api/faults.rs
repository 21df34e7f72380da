//! The program under load while the link to its database fails in every way: only whole answers, only 200, 304 and
//! 503, nothing of the inside in any of them, and healed by itself.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::Signal;
use kasparro_testkit::proxy::{Direction, PostgresProxy, Toxic};

use crate::pages::market;
use crate::program::{SOON, start};
use crate::support::{Answer, answer_of, raw_request, run, send};

const CANARY: &str = "canary-password";

/// Routes that need the database, and one that never does.
const ROUTES: [&str; 6] = ["/data?limit=100", "/data/x", "/stats", "/stats/summary", "/readyz", "/livez"];

/// What no answer may tell: of the database, of the machine, of the program.
const INSIDE: [&str; 12] = [
    CANARY,
    "postgres",
    "127.0.0.1",
    "/tmp",
    "/var/",
    "select ",
    "SELECT ",
    "data_sources",
    "server closed",
    "libpq",
    "panicked",
    ".rs",
];

/// What happened to clients that went on asking.
#[derive(Default)]
struct Seen {
    statuses: Mutex<BTreeMap<u16, usize>>,
    stop: AtomicBool,
}

impl Seen {
    fn ask_on_and_on(&self, address: &str, first: usize) {
        for path in ROUTES.iter().cycle().skip(first) {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let answer = raw_request(address, "GET", path, &[]);
            check(path, &answer);
            *self.statuses.lock().unwrap().entry(answer.status).or_default() += 1;
        }
    }

    fn count(&self, status: u16) -> usize {
        self.statuses.lock().unwrap().get(&status).copied().unwrap_or_default()
    }
}

/// An answer is whole, is one of those that are allowed, and tells nothing.
#[track_caller]
fn check(path: &str, answer: &Answer) {
    let length: usize =
        answer.header("content-length").unwrap_or_else(|| panic!("{path}: {answer:?}")).parse().unwrap();
    assert_eq!(answer.bytes.len(), length, "{path}: half an answer");
    match (path, answer.status) {
        ("/livez", status) => assert_eq!(status, 200, "the process lives"),
        (_, 200 | 304) => drop(answer.json()),
        ("/data/x", 404) => drop(answer.problem()),
        (_, 503) => {
            let code = answer.problem()["code"].as_str().unwrap().to_owned();
            assert!(["database_unavailable", "busy"].contains(&code.as_str()), "{path}: {answer:?}");
            assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
            for word in INSIDE {
                assert!(!answer.body.contains(word), "{path} tells {word}: {}", answer.body);
            }
        }
        (_, status) => panic!("{path}: {status}: {answer:?}"),
    }
}

/// Asks until an answer has the status; how long that took.
#[track_caller]
fn until(address: &str, path: &str, status: u16) -> Duration {
    let begun = Instant::now();
    while raw_request(address, "GET", path, &[]).status != status {
        assert!(begun.elapsed() < Duration::from_secs(30), "{path} does not become {status}");
        std::thread::sleep(Duration::from_millis(10));
    }
    begun.elapsed()
}

#[test]
fn whatever_happens_to_the_link_under_load_answers_are_whole_and_it_heals() {
    let database = TestDatabase::new();
    run(&database, &market());
    let proxy = PostgresProxy::start(database.url()).unwrap();
    let link = proxy.link();
    let url = proxy.url().replacen('@', &format!(":{CANARY}@"), 1);
    assert!(url.contains(CANARY));
    // Down at the start.
    link.down();
    for cache in ["0", "64"] {
        let variables = [
            ("DATABASE_URL", url.as_str()),
            ("API_CACHE_MIB", cache),
            ("API_DRAIN_SECS", "0"),
            ("RUST_LOG", "debug"),
        ];
        let (program, address, metrics) = start(&variables);
        assert_eq!(raw_request(&address, "GET", "/readyz", &[]).status, 503);
        assert_eq!(raw_request(&address, "GET", "/health", &[]).json()["database"], "disconnected");
        let seen = Seen::default();
        std::thread::scope(|scope| {
            for first in 0..6 {
                let (seen, address) = (&seen, address.as_str());
                scope.spawn(move || seen.ask_on_and_on(address, first));
            }
            let healed = |fault: &str, how: &dyn Fn()| {
                how();
                let took = until(&address, "/data?limit=100", 200);
                println!("cache {cache} MiB, {fault}: healed after {} ms", took.as_millis());
            };
            healed("down at the start", &|| link.up());
            for round in 0..2 {
                // Connections killed: a read is made once more, so nobody need notice.
                link.break_connections();
                healed("connections closed", &|| ());
                run(
                    &database,
                    "select pg_terminate_backend(pid) from pg_stat_activity
                      where datname = current_database() and application_name = 'kasparro-api'",
                );
                healed("server processes ended", &|| ());
                link.down();
                until(&address, "/stats", 503);
                healed("down", &|| link.up());
                link.poison(Direction::Downstream, Toxic::Silence);
                until(&address, "/stats", 503);
                assert_eq!(raw_request(&address, "GET", "/livez", &[]).status, 200);
                assert!(raw_request(&metrics, "GET", "/metrics", &[]).body.contains("kasparro_db_up 0\n"));
                healed("silent", &|| link.heal());
                // Cut in the middle of an answer of the database.
                let passed = link.passed(Direction::Downstream);
                link.poison(Direction::Downstream, Toxic::ResetAfter(passed + 1_000 + 777 * round));
                healed("reset in the middle of an answer", &|| link.heal());
            }
            seen.stop.store(true, Ordering::Relaxed);
        });
        assert!(seen.count(200) > 0 && seen.count(503) > 0, "{:?}", seen.statuses);
        program.signal(Signal::TERM);
        let output = program.wait(SOON);
        assert_eq!(output.code, 0);
        assert!(!output.stderr.contains(CANARY) && !output.stdout.contains(CANARY), "{}", output.stderr);
        assert!(!output.stderr.contains("a bug"), "{}", output.stderr);
        link.down();
    }
}

/// All of the pool waits for a lock, and a thousand clients wait for the pool.
#[test]
fn a_thousand_clients_wait_for_four_connections() {
    let database = TestDatabase::new();
    run(&database, &market());
    let variables = [
        ("DATABASE_URL", database.url()),
        ("API_CACHE_MIB", "0"),
        ("DB_POOL_SIZE", "4"),
        ("API_DRAIN_SECS", "0"),
        ("RUST_LOG", "warn,kasparro_api::serve=info"),
    ];
    let (program, address, _) = start(&variables);
    until(&address, "/data", 200);
    let before = resident_kib(program.pid());
    let mut holder = database.connect();
    holder.batch_execute("begin; lock table data_sources in access exclusive mode").unwrap();
    let clients: Vec<TcpStream> = (0..1_000).map(|_| send(&address, "GET", "/data", &[])).collect();
    // Others are served meanwhile.
    assert_eq!(raw_request(&address, "GET", "/livez", &[]).status, 200);
    for client in clients {
        let answer = answer_of(client);
        assert_eq!(answer.status, 503);
        check("/data", &answer);
    }
    holder.batch_execute("rollback").unwrap();
    println!("a lock that is gone: healed after {} ms", until(&address, "/data", 200).as_millis());
    // And the same with a database that answers: all are served, or told to come back.
    let clients: Vec<TcpStream> = (0..1_000).map(|_| send(&address, "GET", "/data?limit=100", &[])).collect();
    let mut served = 0;
    for client in clients {
        let answer = answer_of(client);
        check("/data?limit=100", &answer);
        served += usize::from(answer.status == 200);
    }
    assert!(served > 0);
    let grown = resident_kib(program.pid()).saturating_sub(before);
    println!("1,000 clients, 4 connections: {served} served; memory grown by {grown} KiB");
    assert!(grown < 64 << 10, "{grown} KiB");
}

/// Most memory that a process has had, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// SIGTERM in the middle of load: whoever was let in gets a whole answer.
#[test]
fn a_stop_under_load_loses_no_request() {
    let database = TestDatabase::new();
    run(&database, &market());
    let variables = [("DATABASE_URL", database.url()), ("API_CACHE_MIB", "0"), ("API_DRAIN_SECS", "1")];
    let (mut program, address, _) = start(&variables);
    until(&address, "/data", 200);
    let (answered, unready) = (Mutex::new(0_usize), AtomicBool::new(false));
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        // Who cannot connect any more was not let in.
                        let Ok(stream) = TcpStream::connect(&address) else { return };
                        let announced = unready.load(Ordering::SeqCst);
                        let answer = crate::support::exchange(stream, &address, "/data?limit=100");
                        match answer {
                            Some(answer) => {
                                assert_eq!(answer.status, 200, "{answer:?}");
                                check("/data?limit=100", &answer);
                                *answered.lock().unwrap() += 1;
                            }
                            // A connection that the kernel took while the listener closed.
                            None => {
                                assert!(
                                    announced,
                                    "a request was lost before the service called itself unready"
                                );
                                return;
                            }
                        }
                    }
                })
            })
            .collect();
        while *answered.lock().unwrap() < 100 {
            std::thread::sleep(Duration::from_millis(5));
        }
        program.signal(Signal::TERM);
        program.wait_for_line(SOON, "stopping: requests in flight");
        until(&address, "/readyz", 503);
        unready.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().unwrap();
        }
        stopped.store(true, Ordering::SeqCst);
    });
    let output = program.wait(SOON);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("stopped"), "{}", output.stderr);
}
