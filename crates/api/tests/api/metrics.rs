//! What Prometheus reads.

use std::collections::{BTreeMap, BTreeSet};

use kasparro_localpg::Scratch;
use kasparro_testkit::database::TestDatabase;

use crate::support::{SETTLE, SOURCES, Service, batch, coin, observation, run, service_with};

/// A succeeded, a failed and a skipped run of coinpaprika, newest last, and one of csv that is at work.
const RUNS: &str = "
    insert into etl_runs (run_id, source, program_version) overriding system value
    select n, 'coinpaprika', 'test' from generate_series(11, 14) n;
    insert into etl_run_sources (run_id, source, started_at)
    values (11, 'coinpaprika', '2024-03-01 09:00Z'), (12, 'coinpaprika', '2024-03-01 10:00Z'),
           (14, 'csv', '2024-03-01 11:00Z');
    insert into etl_run_sources (run_id, source, status, started_at, ended_at)
    values (13, 'coinpaprika', 'skipped', '2024-03-01 10:01Z', '2024-03-01 10:01Z');
    update etl_run_sources set status = 'succeeded', ended_at = '2024-03-01 09:00:02Z' where run_id = 11;
    update etl_run_sources
       set status = 'failed', ended_at = '2024-03-01 10:00:01.5Z',
           extracted = 15, loaded = 5, restated = 4, unchanged = 3, duplicate = 2, rejected = 1
     where run_id = 12;
    insert into etl_lease (source, owner, epoch, run_id, expires_at)
    values ('csv', 'test', 1, 14, '2999-01-01Z'), ('coinpaprika', 'test', 1, 12, '-infinity')
    on conflict (source) do update set expires_at = excluded.expires_at, run_id = excluded.run_id;
";

fn rows() -> String {
    [
        SOURCES.to_owned(),
        coin(1, 2, "btc-bitcoin"),
        batch(1, "coinpaprika", "2024-03-01T10:00:00Z"),
        observation(1, 1, "2024-03-01T09:58:00Z", "1", "2"),
        SETTLE.to_owned(),
    ]
    .concat()
}

#[track_caller]
fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} is missing in:\n{text}");
    }
}

#[test]
fn runs_leases_and_reads_are_told() {
    let (database, service) = service_with(&rows());
    run(&database, RUNS);
    service.json("/data");
    service.get("/data?limit=0");
    let text = service.metrics();
    assert_lines(
        &text,
        &[
            "kasparro_etl_last_success_timestamp_seconds{source=\"coinpaprika\"} 1709283602",
            "kasparro_etl_last_run_timestamp_seconds{source=\"coinpaprika\"} 1709287201.5",
            "kasparro_etl_last_run_duration_seconds{source=\"coinpaprika\"} 1.5",
            "kasparro_etl_last_run_status{source=\"coinpaprika\",status=\"failed\"} 1",
            "kasparro_etl_last_run_status{source=\"coinpaprika\",status=\"succeeded\"} 0",
            "kasparro_etl_last_run_records{source=\"coinpaprika\",outcome=\"loaded\"} 5",
            "kasparro_etl_last_run_records{source=\"coinpaprika\",outcome=\"restated\"} 4",
            "kasparro_etl_last_run_records{source=\"coinpaprika\",outcome=\"unchanged\"} 3",
            "kasparro_etl_last_run_records{source=\"coinpaprika\",outcome=\"duplicate\"} 2",
            "kasparro_etl_last_run_records{source=\"coinpaprika\",outcome=\"rejected\"} 1",
            "kasparro_etl_runs_total{source=\"coinpaprika\",status=\"succeeded\"} 1",
            "kasparro_etl_runs_total{source=\"coinpaprika\",status=\"failed\"} 1",
            "kasparro_etl_runs_total{source=\"coinpaprika\",status=\"skipped\"} 1",
            "kasparro_etl_lease_expires_timestamp_seconds{source=\"csv\"} 32472144000",
            "db_pool_connections{state=\"busy\"} 0",
            "db_pool_connections{state=\"free\"} 4",
            "db_pool_timeouts_total 0",
            "db_errors_total{class=\"internal\"} 0",
        ],
    );
    assert!(!text.contains("kasparro_etl_runs_total{source=\"csv\""), "it is at work: {text}");
    assert!(!text.contains("kasparro_etl_lease_expires_timestamp_seconds{source=\"coinpaprika\""), "{text}");
}

#[test]
fn the_number_of_runs_outlives_their_record() {
    let (database, service) = service_with(&rows());
    run(&database, RUNS);
    run(&database, "delete from etl_run_sources");
    assert_lines(
        &service.metrics(),
        &["kasparro_etl_runs_total{source=\"coinpaprika\",status=\"succeeded\"} 1"],
    );
}

#[test]
fn failures_of_the_database_are_counted_by_class() {
    let server = Scratch::start().unwrap();
    let database = TestDatabase::on(server.cluster());
    run(&database, &rows());
    let service = Service::uncached(database.url());
    run(&database, "alter table etl_checkpoints rename to elsewhere");
    assert_eq!(service.get("/stats").status, 500);
    let text = service.metrics();
    assert!(!text.contains("db_errors_total{class=\"internal\"} 0"), "{text}");
    server.cluster().stop().unwrap();
    assert_eq!(service.get("/data").status, 503);
    let text = service.metrics();
    assert_lines(&text, &["kasparro_db_up 0"]);
    assert!(!text.contains("db_errors_total{class=\"database_unavailable\"} 0"), "{text}");
}

/// The rules of the text format 0.0.4 and of the naming guide, as far as they can be checked line by line.
#[test]
fn the_text_is_well_formed() {
    let (database, service) = service_with(&rows());
    run(&database, RUNS);
    service.get("/data/btc-bitcoin");
    service.get("/nowhere\"\\");
    let text = service.metrics();
    assert!(text.ends_with('\n'));
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut samples = BTreeSet::new();
    let mut current = "";
    for line in text.lines() {
        if let Some(announced) = line.strip_prefix("# TYPE ") {
            let (name, kind) = announced.split_once(' ').unwrap();
            assert!(kinds.insert(name, kind).is_none(), "{name} is announced twice");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            current = name;
            continue;
        }
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.split_once(' ').is_some_and(|(_, text)| text.ends_with('.')), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap();
        let parts: &[&str] = match kinds[current] {
            "histogram" => &["_bucket", "_sum", "_count"],
            "summary" => &["_sum", "_count"],
            _ => &[""],
        };
        assert!(parts.iter().any(|part| name == format!("{current}{part}")), "{line} is not of {current}");
        assert!(samples.insert(series), "{series} is there twice");
    }
    assert!(samples.len() > 40, "{text}");
}
