//! Kept answers: the same as computed ones, without the database, and never of an older version than is known.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use kasparro_localpg::Scratch;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::proxy::PostgresProxy;

use crate::support::{
    Answer, SETTLE, SOURCES, Service, answer_of, batch, coin, observation, run, send, service_with,
};

const PATHS: [&str; 9] = [
    "/data",
    "/data?limit=1&sort_by=price_usd",
    "/data?source=csv&order=asc",
    "/data?source=coingecko",
    "/data/a",
    "/data/a?source=csv",
    "/data/nobody",
    "/stats",
    "/stats/summary",
];

fn two_rows() -> String {
    [
        SOURCES,
        &batch(1, "csv", "2024-03-01Z"),
        &coin(1, 3, "a"),
        &observation(1, 1, "2024-03-01Z", "1.50", "1e20"),
        &observation(1, 1, "2024-03-02Z", "2", "null"),
        SETTLE,
    ]
    .concat()
}

fn third_row() -> String {
    [&batch(2, "csv", "2024-03-02Z"), &observation(1, 2, "2024-03-03Z", "3", "2"), SETTLE].concat()
}

fn essence(answer: &Answer) -> (u16, String, [Option<String>; 5]) {
    let headers = ["etag", "x-data-version", "link", "content-type", "cache-control"];
    // The id of the request stands in the body of a problem.
    let body = if answer.status == 200 { answer.body.clone() } else { answer.json()["code"].to_string() };
    (answer.status, body, headers.map(|name| answer.header(name).map(str::to_owned)))
}

/// Waits until the service knows the version, so that what follows is kept.
fn knows(service: &Service) {
    service.when_metrics("kasparro_data_version_known 1");
}

#[test]
fn kept_answers_are_those_that_would_be_computed() {
    let (database, kept) = service_with(&two_rows());
    let computed = Service::uncached(database.url());
    knows(&kept);
    for path in PATHS {
        let expected = essence(&computed.get(path));
        for _ in 0..3 {
            assert_eq!(essence(&kept.get(path)), expected, "{path}");
        }
    }
}

#[test]
fn kept_answers_need_no_database() {
    let (database, service) = service_with(&two_rows());
    knows(&service);
    let first = PATHS.map(|path| essence(&service.get(path)));
    let mut holder = database.connect();
    holder
        .batch_execute("begin; lock table observations, coin_latest, coins in access exclusive mode")
        .unwrap();
    for (path, first) in PATHS.iter().zip(&first) {
        assert_eq!(essence(&service.get(path)), *first, "{path}");
    }
    assert_eq!(service.json("/health")["status"], "healthy");
    let tag = first[0].2[0].clone().unwrap();
    assert_eq!(service.request("GET", "/data", &[("If-None-Match", &tag)]).status, 304);
    assert_eq!(service.get("/data?limit=77").problem()["code"], "busy", "this one was not kept");
    holder.batch_execute("rollback").unwrap();
    service.json("/data?limit=77");
}

#[test]
fn many_wait_for_one_computation() {
    let (database, service) = service_with(&two_rows());
    knows(&service);
    let mut holder = database.connect();
    holder.batch_execute("begin; lock table observations in access exclusive mode").unwrap();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..24).map(|_| scope.spawn(|| service.get("/data?limit=5"))).collect();
        let mut most = 0;
        let mut observer = database.connect();
        while most == 0 && asked.iter().any(|thread| !thread.is_finished()) {
            most = waiting(&mut observer);
        }
        for _ in 0..10 {
            most = most.max(waiting(&mut observer));
        }
        holder.batch_execute("rollback").unwrap();
        assert!(most <= 1, "{most} reads at once");
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let first = answers.iter().find(|answer| answer.status == 200);
    for answer in &answers {
        match first {
            Some(first) if answer.status == 200 => assert_eq!(answer.body, first.body),
            // A machine that is too slow for the time limits of a read.
            _ => assert_eq!(answer.problem()["code"], "busy"),
        }
    }
}

#[test]
fn without_a_cache_those_who_wait_share_a_read_that_begins_after_they_came() {
    let database = TestDatabase::new();
    run(&database, &two_rows());
    let service = Service::with(database.url(), |config| {
        config.cache_bytes = 0;
        config.pool_size = NonZeroUsize::MIN;
    });
    knows(&service);
    let before = reads(&service);
    let (mut holder, mut observer) = (database.connect(), database.connect());
    holder.batch_execute("begin; lock table observations in access exclusive mode").unwrap();
    let ask = || send(service.address(), "GET", "/data", &[]);
    let early = ask();
    while waiting(&mut observer) == 0 {}
    let late: Vec<_> = (0..24).map(|_| ask()).collect();
    // The one worker comes to this, which needs no read, after it came to those.
    service.json("/health");
    // What is committed now is not what the first one began to read, but what the others must see.
    holder.batch_execute(&third_row()).unwrap();
    holder.batch_execute("commit").unwrap();
    answer_of(early);
    let answers: Vec<Answer> = late.into_iter().map(answer_of).collect();
    let reads = reads(&service) - before;
    // Two that found another version than was known: each asked for it and read again. One is for the metrics.
    assert!(reads <= 7.0, "{reads} reads");
    for answer in answers {
        match answer.status {
            200 => assert_eq!(answer.json()["total"], 3),
            // A machine that is too slow for the time limits of a read.
            _ => assert_eq!(answer.problem()["code"], "busy"),
        }
    }
}

#[test]
fn coins_that_are_asked_for_at_the_same_time_are_read_together() {
    let database = TestDatabase::new();
    let another = [coin(2, 3, "b"), observation(2, 1, "2024-03-01Z", "5", "7"), SETTLE.to_owned()].concat();
    run(&database, &two_rows().replace(SETTLE, &another));
    let service = Service::with(database.url(), |config| {
        config.cache_bytes = 0;
        config.pool_size = NonZeroUsize::MIN;
    });
    knows(&service);
    let paths = ["/data/a", "/data/b", "/data/b?source=csv", "/data/a?source=coingecko"];
    let alone = paths.map(|path| service.when(path, |answer| answer.status != 503));
    assert_eq!(alone.each_ref().map(|answer| answer.status), [200, 200, 200, 404]);
    let (mut holder, mut observer) = (database.connect(), database.connect());
    let mut reads_of_a_round = || {
        let before = reads(&service);
        holder.batch_execute("begin; lock table coin_latest in access exclusive mode").unwrap();
        let early = send(service.address(), "GET", paths[0], &[]);
        let asked = Instant::now();
        while waiting(&mut observer) == 0 && asked.elapsed() < Duration::from_secs(5) {}
        let late = [paths, paths].concat();
        let late: Vec<_> = late.into_iter().map(|path| send(service.address(), "GET", path, &[])).collect();
        // The one worker comes to this, which needs no read, after it came to those.
        service.json("/health");
        holder.batch_execute("commit").unwrap();
        answer_of(early);
        for (answer, alone) in late.into_iter().map(answer_of).zip(alone.iter().cycle()) {
            match answer.status {
                // A machine that is too slow for the time limits of a read.
                503 => assert_eq!(answer.problem()["code"], "busy"),
                _ => assert_eq!(essence(&answer), essence(alone)),
            }
        }
        // One is for the metrics.
        reads(&service) - before - 1.0
    };
    // A busy machine learns the version too late at times, and then asks for it, or takes longer than a read may wait.
    let begun = Instant::now();
    let mut rounds = vec![];
    while !rounds.contains(&2.0) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{rounds:?} reads, never two");
        rounds.push(reads_of_a_round());
    }
}

/// Reads that asked for a connection so far.
fn reads(service: &Service) -> f64 {
    let metrics = service.metrics();
    let count = metrics.lines().find_map(|line| line.strip_prefix("db_pool_wait_seconds_count "));
    count.unwrap().parse().unwrap()
}

/// Reads of the service that wait for a lock.
fn waiting(observer: &mut PgConnection) -> i64 {
    diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(
        "(select count(*) from pg_stat_activity where datname = current_database()
             and application_name = 'kasparro-api' and wait_event_type = 'Lock')",
    ))
    .get_result(observer)
    .unwrap()
}

#[test]
fn a_committed_batch_replaces_what_was_kept() {
    let (database, service) = service_with(&two_rows());
    knows(&service);
    let before = PATHS.map(|path| service.get(path));
    run(&database, &third_row());
    let version = before[0].header("x-data-version");
    service.when("/stats", |answer| answer.header("x-data-version") != version);
    for (path, old) in PATHS.iter().zip(&before).filter(|(_, old)| old.status == 200) {
        let new = service.get(path);
        assert_eq!(new.status, 200, "{path}");
        assert_ne!(new.header("x-data-version"), version, "{path}");
        assert_ne!(new.header("etag"), old.header("etag"), "{path}");
    }
    assert_eq!(service.json("/data")["total"], 3);
}

#[test]
fn a_refusal_is_kept_as_long_as_the_data_stays() {
    let (database, service) = service_with(&two_rows());
    knows(&service);
    for _ in 0..3 {
        assert_eq!(service.get("/data/b").problem()["code"], "unknown_coin");
        assert_eq!(service.get("/data?source=nobody").problem()["code"], "invalid_parameter");
    }
    run(&database, "insert into data_sources (source_id, name) overriding system value values (4, 'nobody')");
    run(&database, "select ensure_observation_partition(4::smallint, '2024-03-01')");
    run(&database, &[coin(2, 4, "b"), batch(2, "nobody", "2024-03-02Z")].concat());
    run(&database, &[&observation(2, 2, "2024-03-03Z", "3", "2"), SETTLE].concat());
    service.when("/data/b", |answer| answer.status == 200);
    service.when("/data?source=nobody", |answer| answer.status == 200);
}

#[test]
fn nothing_is_served_for_long_without_the_database() {
    let server = Scratch::start().unwrap();
    let database = TestDatabase::on(server.cluster());
    run(&database, &two_rows());
    let service = Service::on(database.url());
    knows(&service);
    let before = service.get("/data");
    server.cluster().crash().unwrap();
    let down = service.when("/data", |answer| answer.status != 200);
    assert_eq!((down.status, &down.problem()["code"]), (503, &"database_unavailable".into()));
    server.start_again().unwrap();
    let again = service.when("/data", |answer| answer.status == 200);
    assert_eq!(again.body, before.body);
}

#[test]
fn nothing_is_served_for_long_while_the_database_is_silent() {
    let database = TestDatabase::new();
    run(&database, &two_rows());
    let proxy = PostgresProxy::start(database.url()).unwrap();
    let service = Service::on(&proxy.url());
    knows(&service);
    service.json("/data");
    proxy.hold_at(1);
    let silent = service.when("/data", |answer| answer.status != 200);
    proxy.hold_at(u64::MAX);
    // It depends on whether a connection was open already.
    assert_eq!(silent.status, 503);
    assert!(["busy", "database_unavailable"].contains(&silent.problem()["code"].as_str().unwrap()));
    service.when("/data", |answer| answer.status == 200);
}

#[test]
fn little_memory_serves_as_well() {
    let database = TestDatabase::new();
    run(&database, &two_rows());
    let service = Service::with(database.url(), |config| config.cache_bytes = 1);
    knows(&service);
    for _ in 0..3 {
        assert_eq!(service.json("/data")["total"], 2);
    }
}
