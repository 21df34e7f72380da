//! Entity tags: what does not change is not sent again, and what changes shows at once.

use crate::support::{SETTLE, SOURCES, batch, coin, observation, run, service_with};

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
    let (database, service) = service_with(&one());
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
    let (database, service) = service_with(&one());
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
    for path in ["/health", "/readyz", "/livez", "/metrics", "/nowhere", "/data?limit=0"] {
        let answer = service.get(path);
        assert_eq!(
            (answer.header("cache-control"), answer.header("etag")),
            (Some("no-store"), None),
            "{path}"
        );
    }
}
