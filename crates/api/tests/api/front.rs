//! Answers that a worker gives again: the same as those of the long way, each a request of its own.

use std::collections::HashSet;

use crate::support::{Answer, SETTLE, SOURCES, Service, batch, coin, observation, service_with};

const PATHS: [&str; 6] =
    ["/data?limit=10", "/data/a", "/stats", "/stats/summary", "/data/nobody", "/data?limit=x"];

const FORMS: [&[(&str, &str)]; 6] = [
    &[],
    &[("Accept", "text/csv")],
    &[("Accept", "application/x-ndjson")],
    &[("Accept-Encoding", "gzip")],
    &[("Accept-Encoding", "zstd, br")],
    &[("Accept", "text/csv"), ("Accept", "application/json"), ("User-Agent", "test")],
];

fn service() -> (kasparro_testkit::database::TestDatabase, Service) {
    let mut sql = [SOURCES, &batch(1, "csv", "2024-03-01Z"), &coin(1, 3, "a")].concat();
    for day in 1..=28 {
        sql += &observation(1, 1, &format!("2024-02-{day:02}Z"), "1.50", "1e20");
    }
    let (database, service) = service_with(&(sql + SETTLE));
    service.when_metrics("kasparro_data_version_known 1");
    (database, service)
}

/// All that is not of one request alone.
fn lasting(answer: &Answer) -> (u16, Vec<u8>, Vec<(String, String)>) {
    let own = ["x-request-id", "server-timing", "date"];
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| !own.contains(&name.as_str()));
    headers.sort();
    // The body of a problem has the id of its request.
    let body = if answer.status == 200 { answer.bytes.clone() } else { Vec::new() };
    if answer.status != 200 {
        headers.retain(|(name, _)| name != "content-length");
    }
    (answer.status, body, headers)
}

#[test]
fn repeated_answers_are_those_of_the_long_way() {
    let (_database, service) = service();
    let mut ids = HashSet::new();
    for path in PATHS {
        for form in FORMS {
            // An id of the client's own is never answered in passing.
            let long_way = [form, &[("X-Request-Id", "mine")]].concat();
            let expected = service.request("GET", path, &long_way);
            assert_eq!(expected.header("x-request-id"), Some("mine"));
            for _ in 0..4 {
                let answer = service.request("GET", path, form);
                assert_eq!(lasting(&answer), lasting(&expected), "{path} {form:?}");
                assert!(ids.insert(answer.header("x-request-id").unwrap().to_owned()), "an id came twice");
            }
        }
    }
}

#[test]
fn repeated_answers_are_counted_and_heads_have_no_body() {
    let (_database, service) = service();
    for _ in 0..40 {
        assert_eq!(service.get("/stats").status, 200);
    }
    assert!(service.request("HEAD", "/stats", &[]).bytes.is_empty());
    let tag = service.get("/stats").header("etag").unwrap().to_owned();
    assert_eq!(service.request("GET", "/stats", &[("If-None-Match", &tag)]).status, 304);
    let counted = service.metrics();
    let count =
        |status| format!("http_requests_total{{method=\"GET\",route=\"/stats\",status=\"{status}\"}}");
    assert!(counted.contains(&format!("{} 41\n", count(200))), "{counted}");
    assert!(counted.contains(&format!("{} 1\n", count(304))), "{counted}");
}

#[test]
fn health_is_of_now() {
    let (_database, service) = service();
    let time = || service.json("/health")["timestamp"].as_str().unwrap().to_owned();
    let first = time();
    service.when("/health", |answer| answer.json()["timestamp"] != first.as_str());
}
