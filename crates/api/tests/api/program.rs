//! The program itself: settings, exit codes, signals.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::{Program, Running, Signal, run_binary};
use serde_json::Value;

use crate::support::raw_request;

const BINARY: &str = env!("CARGO_BIN_EXE_kasparro-api");
pub(crate) const SOON: Duration = Duration::from_secs(30);
const NOWHERE: &str = "postgres://someone:canary-password@127.0.0.1:1/nothing";

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let output = run_binary(Path::new(BINARY), arguments, variables);
    (output.code, output.stdout + &output.stderr)
}

#[test]
fn a_taken_port_is_said_in_one_line() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, said) = run(&[], &[("PORT", &port), ("DATABASE_URL", NOWHERE)]);
    assert_eq!(code, 74);
    assert_eq!(
        said.trim_end(),
        format!("kasparro-api: port {port} is taken by another program: stop it, or choose another PORT")
    );
    let (code, said) = run(
        &["--port", "0", "--metrics-bind", "0.0.0.0", "--metrics-port", &port],
        &[("DATABASE_URL", NOWHERE)],
    );
    assert!(code == 74 && said.contains("choose another METRICS_PORT"), "{code} {said}");
}

#[test]
fn settings_are_checked_before_anything_is_served() {
    let (code, said) = run(&["--port", "0"], &[]);
    assert_eq!(
        (code, said.as_str()),
        (78, "kasparro-api: DATABASE_URL is not set, nor is DATABASE_URL_FILE\n")
    );
    let both = [("DATABASE_URL", NOWHERE), ("DATABASE_URL_FILE", "/x")];
    let (code, said) = run(&["--port", "0"], &both);
    assert_eq!(code, 78);
    assert!(
        said.contains("DATABASE_URL and DATABASE_URL_FILE are both set") && !said.contains("canary"),
        "{said}"
    );
    for address in [
        "mysql://u:canary@h/d",
        "canary",
        "postgresql://u:canary@h:99999/d",
        "postgresql://u:canary@h/d?sslmode=canary",
        "postgresql://u:canary@h/d?canary=1",
        "host=h password=canary connect_timeout=canary",
    ] {
        for command in [&["--port", "0"][..], &["check"]] {
            let (code, said) = run(command, &[("DATABASE_URL", address)]);
            assert!(code == 78 && said.contains("DATABASE_URL cannot be used"), "{said}");
            assert!(!said.contains("canary"), "{said}");
        }
    }
    for wrong in [&["--nothing"][..], &["nothing"], &["--port"]] {
        assert_eq!(run(wrong, &[]).0, 64, "{wrong:?}");
    }
    let (code, said) = run(&["--help"], &[("DATABASE_URL", NOWHERE)]);
    assert!(code == 0 && said.contains("DATABASE_URL") && !said.contains("canary"), "{said}");
}

/// Half of a file may leave out the keys and the rate limit.
#[test]
fn a_file_of_settings_is_taken_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let program = Program::new(BINARY).folder(folder.path()).arguments(arguments).secret("canary");
        program.variable("DATABASE_URL", NOWHERE.replace("canary", "some")).run()
    };
    for (text, words) in [
        ("PORT=0\nAPI_KEYS=alice canary-key-of-alice\n", ".env: line 2 is not of the form NAME=value"),
        ("PORT=0\n\nAPI_KEYS='alice canary-key-of-alice\0'\n", ".env: line 3 has a NUL byte"),
    ] {
        std::fs::write(folder.path().join(".env"), text).unwrap();
        for arguments in [&["--port", "0"][..], &["serve", "--port", "0"], &["check"], &["healthcheck"]] {
            let output = run(arguments);
            assert!(output.code == 78 && output.stderr.contains(words), "{arguments:?}: {output:?}");
            assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        }
        for arguments in ["openapi", "--help", "--version"] {
            assert_eq!(run(&[arguments]).code, 0, "{arguments}");
        }
    }
    std::fs::write(folder.path().join(".env"), "\u{feff}API_KEYS='alice canary-key-of-alice'\n").unwrap();
    assert!(run(&["check"]).stdout.contains("keys               1, required\n"));
}

#[test]
fn every_wrong_setting_is_listed_at_once() {
    let wrong = [
        ("PORT", "x", "\"x\" is not a whole number from 0 to 65535"),
        ("METRICS_PORT", "-1", "is not a whole number"),
        ("DB_POOL_SIZE", "0", "is not a whole number from 1 to 1000"),
        ("API_WORKERS", "many", "is not a whole number"),
        ("API_CACHE_MIB", "1.5", "is not a whole number"),
        ("API_STALE_AFTER_SECS", "0", "is not a whole number"),
        ("API_MAX_CONNECTIONS", "0", "is not a whole number"),
        ("API_DRAIN_SECS", "601", "is not a whole number from 0 to 600"),
        ("API_SHUTDOWN_SECS", "0", "is not a whole number from 1 to 600"),
        ("API_HSTS_SECS", "a year", "is not a whole number"),
        ("API_RATE_LIMIT_PER_MINUTE", "-5", "is not a whole number"),
        ("API_KEYS", "alice canary", "alice: the key does not have 16"),
        ("API_KEYS_OPTIONAL", "perhaps", "is neither on nor off"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,everybody", "\"everybody\" is not a network"),
        ("CORS_ORIGINS", "*", "`*` would let every page act for its visitor"),
        ("API_DOCS", "no", "is neither on nor off"),
        ("DB_STATEMENT_CACHE", "maybe", "is neither on nor off"),
        ("LOG_FORMAT", "xml", "is not text or json"),
    ];
    let mut variables: Vec<_> = wrong.iter().map(|(name, value, _)| (*name, *value)).collect();
    variables.push(("CORS_CREDENTIALS", "on"));
    for command in [&[][..], &["check"], &["serve"]] {
        let (code, said) = run(command, &variables);
        assert_eq!(code, 78, "{said}");
        for (name, _, message) in wrong {
            let line = said.lines().find(|line| line.starts_with(&format!("kasparro-api: {name}: ")));
            assert!(line.is_some_and(|line| line.contains(message)), "{name}: {said}");
        }
        assert!(said.contains("DATABASE_URL is not set") && !said.contains("canary"), "{said}");
    }
    // Empty is not set.
    let empty: Vec<_> = wrong.iter().map(|(name, ..)| (*name, "")).collect();
    let (code, said) = run(&["check"], &[&empty[..], &[("DATABASE_URL", NOWHERE)]].concat());
    assert!(code == 75 && said.contains("listen             0.0.0.0:8000\n"), "{code} {said}");
}

#[test]
fn check_says_whether_the_database_can_be_used() {
    let database = TestDatabase::new();
    let (code, said) = run(&["check"], &[("DATABASE_URL", database.url())]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("[redacted]") && said.contains("tables fit"), "{said}");
    let set = [
        ("DATABASE_URL", database.url()),
        ("API_KEYS", "alice canary-key-of-alice 5, bob canary-key-of-bob-9"),
        ("API_RATE_LIMIT_PER_MINUTE", "600"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1"),
        ("CORS_ORIGINS", "https://example.org"),
        ("API_DOCS", "off"),
        ("DB_STATEMENT_CACHE", "0"),
        ("METRICS_PORT", "off"),
        ("HOST", "[::1]"),
    ];
    let (code, said) = run(&["check"], &set);
    assert_eq!(code, 0, "{said}");
    for line in [
        "keys               2, required",
        "rate limit         600 a minute",
        "trusted proxies    10.0.0.0/8, 192.0.2.1/32",
        "cors               https://example.org",
        "docs               off",
        "statement cache    off",
        "listen             [::1]:8000",
        "metrics            off",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("canary"), "{said}");
    let (code, said) = run(&["check"], &[("DATABASE_URL", NOWHERE)]);
    assert!(code == 75 && said.contains("cannot be reached") && !said.contains("canary"), "{code} {said}");
    let empty = TestDatabase::empty();
    let (code, said) = run(&["check"], &[("DATABASE_URL", empty.url())]);
    assert!(code == 75 && said.contains("kasparro-etl migrate"), "{code} {said}");
}

#[test]
fn the_document_is_printed() {
    assert_eq!(run(&["openapi"], &[]), (0, kasparro_api::openapi_document()));
}

#[test]
fn what_cannot_be_written_is_said() {
    for command in ["openapi", "check"] {
        let script = format!("exec \"$0\" {command} >/dev/full");
        let program = Program::new("sh").arguments(["-c", &script, BINARY]);
        let output = program.variable("DATABASE_URL", NOWHERE).secret("canary").run();
        assert!(output.code == 74 && output.stderr.contains("cannot write: "), "{command}: {output:?}");
    }
}

/// The program on free ports, its address and that of its metrics.
pub(crate) fn start(variables: &[(&str, &str)]) -> (Running, String, String) {
    let mut program = Program::new(BINARY)
        .arguments(["--bind", "127.0.0.1", "--port", "0", "--metrics-port", "0"])
        .variables(variables)
        .spawn();
    let mut address = |before: &str| {
        program.wait_for(SOON, |line| Some(line.split_once(before)?.1.split_once('/')?.0.to_owned()))
    };
    let (metrics, public) = (address("metrics: http://"), address("serving http://"));
    (program, public, metrics)
}

#[test]
fn it_serves_logs_and_stops() {
    let database = TestDatabase::new();
    let (mut program, address, metrics) = start(&[("DATABASE_URL", database.url()), ("API_DRAIN_SECS", "0")]);
    raw_request(&address, "GET", "/data?limit=3", &[("X-Request-ID", "from-the-test")]);
    let line = program.wait_for_line(SOON, "request_id=from-the-test");
    assert!(
        line.contains("answered") && line.contains("method=GET route=/data status=200 duration_ms="),
        "{line}"
    );
    assert!(line.contains(" bytes=") && line.contains(" cache="), "{line}");
    let text = raw_request(&metrics, "GET", "/metrics", &[]).body;
    assert!(
        text.contains("http_requests_total{method=\"GET\",route=\"/data\",status=\"200\"} 1\n"),
        "{text}"
    );

    for (path, code) in [("/readyz", 0), ("/livez", 0), ("/nowhere", 1)] {
        let url = format!("http://{address}{path}");
        assert_eq!(run(&["healthcheck", "--url", &url], &[]).0, code, "{path}");
    }
    let port = address.rsplit(':').next().unwrap();
    assert_eq!(run(&["healthcheck"], &[("PORT", port)]).0, 0);
    assert_eq!(run(&["healthcheck", "--url", "http://127.0.0.1:1/livez"], &[]).0, 1);

    program.signal(Signal::TERM);
    let output = program.wait(SOON);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("stopping") && output.stderr.contains("stopped"), "{}", output.stderr);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let database = TestDatabase::new();
    let (mut program, address, _) = start(&[("DATABASE_URL", database.url()), ("API_DRAIN_SECS", "600")]);
    program.signal(Signal::TERM);
    program.wait_for_line(SOON, "stopping: requests in flight");
    assert_eq!(raw_request(&address, "GET", "/readyz", &[]).status, 503);
    program.signal(Signal::TERM);
    assert_eq!(program.wait(SOON).code, 0);
}

/// A terminal that closes is no reason to lose requests; what was started with nohup is to outlive it.
#[test]
fn a_hangup_ends_it_like_sigterm_unless_it_is_to_be_ignored() {
    let database = TestDatabase::new();
    let (program, ..) = start(&[("DATABASE_URL", database.url()), ("API_DRAIN_SECS", "0")]);
    program.signal(Signal::HUP);
    let output = program.wait(SOON);
    assert!(output.code == 0 && output.stderr.contains("stopped"), "{output:?}");

    let mut program = Program::new("sh")
        .arguments(["-c", "trap '' HUP; exec \"$0\" --bind 127.0.0.1 --port 0 --metrics-port off", BINARY])
        .variables(&[("DATABASE_URL", database.url()), ("API_DRAIN_SECS", "600")])
        .spawn();
    program.wait_for_line(SOON, "serving http://");
    program.signal(Signal::HUP);
    program.signal(Signal::INT);
    let output = program.wait(SOON);
    assert!(output.code == 0 && !output.stderr.contains("at once"), "{output:?}");
}

#[test]
fn the_log_says_why_the_service_is_not_ready_and_when_it_is() {
    let database = TestDatabase::empty();
    let (mut program, ..) = start(&[("DATABASE_URL", database.url()), ("API_DRAIN_SECS", "0")]);
    program.wait_for_line(SOON, "not ready: the database has no tables yet: run `kasparro-etl migrate`");
    kasparro_core::db::migrate(database.url()).unwrap();
    program.wait_for_line(SOON, "ready: the database can be read");
    program.signal(Signal::TERM);
    assert_eq!(program.wait(SOON).stderr.matches("not ready: ").count(), 1);
}

/// Ctrl-C is from somebody who waits: there is nobody who would have to notice first.
#[test]
fn an_interrupt_does_not_wait_to_be_noticed() {
    let database = TestDatabase::new();
    let (program, ..) = start(&[("DATABASE_URL", database.url()), ("API_DRAIN_SECS", "600")]);
    program.signal(Signal::INT);
    assert_eq!(program.wait(SOON).code, 0);
}

#[test]
fn a_line_of_the_log_is_one_object_whatever_a_client_sends() {
    let database = TestDatabase::new();
    let variables = [
        ("DATABASE_URL", database.url()),
        ("LOG_FORMAT", "json"),
        ("RUST_LOG", "debug"),
        ("API_DRAIN_SECS", "0"),
    ];
    let (mut program, address, _) = start(&variables);
    let sent = [
        ("GET", "/data?limit=1", "plain"),
        ("GET", "/data/%0d%0a%1b[31mforged?source=%0a", "x\" forged=\"1"),
        ("BREW", "/nowhere?a=%c2%85%e2%80%a8", "a b"),
        ("HEAD", "/stats", "head"),
    ];
    for (method, path, id) in sent {
        raw_request(&address, method, path, &[("X-Request-ID", id)]);
    }
    database
        .connect()
        .batch_execute("alter table etl_checkpoints rename column updated_at to \"new\nname\"")
        .unwrap();
    raw_request(&address, "GET", "/stats", &[("X-Request-ID", "last")]);
    program.wait_for(SOON, |line| line.contains("\"last\"").then_some(()));
    program.signal(Signal::TERM);
    let output = program.wait(SOON);
    let lines: Vec<Value> = output
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}")))
        .collect();
    let requests: Vec<&Value> =
        lines.iter().filter(|line| line["target"] == "kasparro_api::access").collect();
    assert!(requests.len() > sent.len(), "{lines:#?}");
    let of = |route: &str| *requests.iter().find(|line| line["route"] == route).unwrap();
    let data = of("/data");
    assert_eq!(
        (&data["request_id"], &data["method"], &data["status"]),
        (&"plain".into(), &"GET".into(), &200.into())
    );
    assert!(
        data["duration_ms"].is_f64() && data["bytes"].as_u64().unwrap() > 0 && data["cache"].is_string(),
        "{data}"
    );
    assert_eq!(of("unmatched")["method"], "other");
    assert_eq!(of("/stats")["bytes"], 0, "HEAD has no body");
    assert!(!output.stderr.contains("forged"), "{}", output.stderr);
    assert!(lines.iter().all(|line| line["ts"].as_str().unwrap().ends_with('Z')));
}

#[test]
fn two_services_on_one_machine_do_not_quarrel_about_metrics() {
    let database = TestDatabase::new();
    let _taken = TcpListener::bind(("127.0.0.1", 9464)); // or somebody else has it
    let mut program = Program::new(BINARY)
        .arguments(["--bind", "127.0.0.1", "--port", "0"])
        .variable("DATABASE_URL", database.url())
        .spawn();
    program.wait_for_line(SOON, "no metrics are served: port 9464 is taken");
    program.wait_for_line(SOON, "serving http://");
}
