//! Entity tags: what does not change is not sent again, and what changes shows at once.

use crate::support::{SETTLE, SOURCES, batch, coin, observation, run, service_with, uncached_service_with};

const TAGGED: [&str; 4] = ["/data", "/data/a", "/stats", "/stats/summary"];

fn one() -> String {
    [
        SOURCES,
        &batch(1, "csv", "2024-03-01Z"),
        &coin(1, 3, "a"),
        &observation(1, 1, "2024-03-01Z", "1", "1"),
        SETTLE,
    ]
    .concat()
}

#[test]
fn an_answer_that_holds_is_not_sent_again() {
    let (_database, service) = service_with(&one());
    for path in TAGGED {
        let first = service.get(path);
        let tag = first.header("etag").unwrap();
        assert!(tag.starts_with('"'), "{tag} is strong");
        assert_eq!(first.header("cache-control"), Some("no-cache"));
        for sent in [tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
            let again = service.request("GET", path, &[("If-None-Match", sent)]);
            assert_eq!((again.status, again.body.as_str()), (304, ""), "{path} {sent}");
            for name in ["etag", "cache-control", "x-data-version"] {
                assert_eq!(again.header(name), first.header(name), "{path} {name}");
            }
        }
        assert_eq!(service.request("HEAD", path, &[("If-None-Match", tag)]).status, 304);
        for other in ["\"x\"", "garbage", ""] {
            assert_eq!(
                service.request("GET", path, &[("If-None-Match", other)]).status,
                200,
                "{path} {other}"
            );
        }
    }
}

#[test]
fn another_query_has_another_tag() {
    let (_database, service) = service_with(&one());
    let paths = [
        "/data",
        "/data?limit=11",
        "/data?order=asc",
        "/data?source=csv",
        "/data?crypto_id=a",
        "/data/a",
        "/data/a?source=csv",
    ];
    let mut tags: Vec<_> =
        paths.iter().map(|path| service.get(path).header("etag").unwrap().to_owned()).collect();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), paths.len());
    assert_eq!(
        service.get("/data?limit=10&offset=0").header("etag"),
        service.get("/data?&offset=0").header("etag")
    );
}

#[test]
fn a_committed_batch_changes_every_tag() {
    let (database, service) = uncached_service_with(&one());
    let before: Vec<_> = TAGGED.iter().map(|path| service.get(path)).collect();
    run(
        &database,
        &[&batch(2, "csv", "2024-03-02Z"), &observation(1, 2, "2024-03-02Z", "2", "2"), SETTLE].concat(),
    );
    for (path, old) in TAGGED.iter().zip(&before) {
        // The summary shows the end of a run as well, but the number of records is enough to change it.
        let new = service.request("GET", path, &[("If-None-Match", old.header("etag").unwrap())]);
        assert_eq!(new.status, 200, "{path}");
        assert_ne!(new.header("x-data-version"), old.header("x-data-version"), "{path}");
    }
}

#[test]
fn a_new_run_changes_the_stats_and_not_the_data() {
    let (database, service) = uncached_service_with(&one());
    let tag_of = |path| service.get(path).header("etag").unwrap().to_owned();
    let before = TAGGED.map(tag_of);
    run(&database, "insert into etl_runs (source, program_version) values ('csv', 'test')");
    let after = TAGGED.map(tag_of);
    let changed: Vec<_> = before.iter().zip(&after).map(|(before, after)| before != after).collect();
    assert_eq!(changed, [false, false, true, false]);
}

#[test]
fn the_state_of_the_service_is_never_kept() {
    let (_database, service) = service_with("");
    for path in ["/health", "/readyz", "/livez", "/nowhere", "/data?limit=0"] {
        let answer = service.get(path);
        assert_eq!(
            (answer.header("cache-control"), answer.header("etag")),
            (Some("no-store"), None),
            "{path}"
        );
    }
}

#[test]
fn the_time_of_the_data_is_a_condition_as_well() {
    let (database, service) = uncached_service_with(&one());
    for path in ["/data", "/data/a"] {
        let first = service.get(path);
        assert_eq!(first.header("last-modified"), Some("Fri, 01 Mar 2024 00:00:00 GMT"), "{path}");
        let status = |headers: &[(&str, &str)]| service.request("GET", path, headers).status;
        let since = |time| status(&[("If-Modified-Since", time)]);
        assert_eq!(since("Fri, 01 Mar 2024 00:00:00 GMT"), 304, "{path}");
        assert_eq!(since("Sat, 02 Mar 2024 00:00:00 GMT"), 304, "{path}");
        assert_eq!(since("Thu, 29 Feb 2024 23:59:59 GMT"), 200, "{path}");
        assert_eq!(since("yesterday"), 200, "{path}");
        let both = [("If-None-Match", "\"x\""), ("If-Modified-Since", "Sat, 02 Mar 2024 00:00:00 GMT")];
        assert_eq!(status(&both), 200, "{path}: the tag goes before the time");
    }
    // A batch of this very second: another one may follow within it.
    run(
        &database,
        "update data_sources set last_batch_at = clock_timestamp() + interval '1 hour', batch_number = batch_number + 1",
    );
    assert_eq!(service.get("/data").header("last-modified"), None);
}

#[test]
fn what_is_too_old_is_said() {
    let checkpoints = "insert into etl_checkpoints (source, updated_at) values
        ('coingecko', clock_timestamp()), ('coinpaprika', '2024-03-01Z'), ('csv', '2024-03-01Z')";
    let (database, service) = service_with(&[&one(), checkpoints].concat());
    for service in [service, crate::support::Service::uncached(database.url())] {
        let health = service.json("/health");
        assert_eq!((&health["status"], &health["degraded"]), (&"healthy".into(), &true.into()));
        let degraded = |list: &serde_json::Value| -> Vec<bool> {
            list.as_array().unwrap().iter().map(|source| source["degraded"].as_bool().unwrap()).collect()
        };
        assert_eq!(degraded(&health["freshness"]), [false, true, false]);
        assert!(health["freshness"][0]["age_seconds"].as_i64().unwrap() >= 0);
        assert_eq!(degraded(&service.json("/stats")["sources"]), [false, true, false]);
    }
}

#[test]
fn an_answer_says_how_it_came_about() {
    let (database, service) = service_with(&one());
    service.when("/data", |answer| answer.header("server-timing").unwrap().ends_with("cache;desc=hit"));
    assert!(service.get("/livez").header("server-timing").unwrap().starts_with("app;dur="));
    let uncached = crate::support::Service::uncached(database.url());
    assert!(uncached.get("/data").header("server-timing").unwrap().ends_with("cache;desc=bypass"));
}
