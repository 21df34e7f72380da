//! Forms other than a JSON page, and exports: the same rows, whole or refused, and nobody held up by a slow client.

use std::io::{Read, Write};
use std::net::TcpStream;

use diesel::prelude::*;
use serde_json::Value;

use crate::pages::{market, walk};
use crate::support::{SETTLE, SOURCES, Service, batch, coin, observation, run, service_with};

/// The body of an answer in chunks, put together; `None` when it does not end.
pub(crate) fn unchunked(body: &str) -> Option<String> {
    let (mut rest, mut whole) = (body, String::new());
    loop {
        let (size, behind) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.push_str(behind.get(..size)?);
        rest = behind.get(size + 2..)?;
    }
}

fn exported(service: &Service, path: &str) -> String {
    let answer = service.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    unchunked(&answer.body).unwrap_or_else(|| panic!("{path} is not whole"))
}

fn lines(ndjson: &str) -> Vec<Value> {
    ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| row["id"].to_string());
    rows
}

const FILTERS: [&str; 9] = [
    "",
    "source=csv",
    "source=coingecko,coinpaprika&min_price_usd=1.5",
    "crypto_id=coin-1",
    "symbol=coin-0&from=2024-02-01T00:00:00Z",
    "from=2024-01-31T00:00:00Z&to=2024-02-20T00:00:00Z",
    "latest=true",
    "latest=true&max_price_usd=2",
    "min_volume_24h_usd=1e30",
];

#[test]
fn an_export_is_what_the_pages_show() {
    let (_database, service) = service_with(&market());
    for filter in FILTERS {
        let pages = sorted(walk(&service, &format!("{filter}&limit=100")));
        let ndjson = service.get(&format!("/data/export?format=ndjson&{filter}"));
        assert_eq!(ndjson.header("x-total-count"), Some(pages.len().to_string().as_str()), "{filter}");
        assert_eq!(sorted(lines(&unchunked(&ndjson.body).unwrap())), pages, "{filter}");
        let json = exported(&service, &format!("/data/export?format=json&{filter}"));
        assert_eq!(sorted(serde_json::from_str(&json).unwrap()), pages, "{filter}");
        let csv = exported(&service, &format!("/data/export?format=csv&{filter}"));
        assert_eq!(csv.matches("\r\n").count(), pages.len() + 1, "{filter}");
    }
    let twice = [0; 2].map(|_| exported(&service, "/data/export?format=csv"));
    assert_eq!(twice[0], twice[1], "the same data gives the same bytes");
}

#[test]
fn a_page_has_the_same_rows_in_every_form() {
    let (_database, service) = service_with(&market());
    let query = "sort_by=price_usd&fields=id,rank,symbol&limit=5";
    let page = service.json(&format!("/data?{query}"));
    let ndjson = service.get(&format!("/data?{query}&format=ndjson"));
    assert_eq!(Value::from(lines(&ndjson.body)), page["data"]);
    assert_eq!(ndjson.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(ndjson.header("x-total-count"), Some(page["total"].to_string().as_str()));
    let link = ndjson.header("link").unwrap();
    assert!(link.contains("format=ndjson") && link.contains(page["next_cursor"].as_str().unwrap()), "{link}");
    let csv = service.get(&format!("/data?{query}&format=csv"));
    let of = |row: &Value| {
        let text = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
        format!("{},{},\r\n", text("id"), text("symbol"))
    };
    let expected: String = page["data"].as_array().unwrap().iter().map(of).collect();
    assert_eq!(csv.body, format!("id,symbol,rank\r\n{expected}"));
    assert_ne!(csv.header("etag"), ndjson.header("etag"));
}

#[test]
fn accept_or_format_decides() {
    let (_database, service) = service_with(&market());
    let (json, ndjson, csv) =
        ("application/json", "application/x-ndjson", "text/csv; charset=utf-8; header=present");
    for path in ["/data", "/data/export"] {
        for (accept, expected) in [
            ("text/csv", csv),
            ("application/x-ndjson", ndjson),
            ("application/json", json),
            ("*/*", json),
            ("text/csv;q=0.5, application/x-ndjson;q=0.9", ndjson),
            ("text/csv, */*", csv),
            ("text/csv;q=0, */*", json),
            ("text/*", csv),
            ("text/html,application/xhtml+xml,*/*;q=0.8", json),
            ("image/png", json),
            ("garbage;;;", json),
        ] {
            let answer = service.request("GET", path, &[("Accept", accept)]);
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (200, Some(expected)),
                "{path} {accept}"
            );
            assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
            let told = service.request("GET", &format!("{path}?format=csv"), &[("Accept", accept)]);
            assert_eq!(told.header("content-type"), Some(csv), "{path} {accept}");
        }
        let wrong = service.get(&format!("{path}?format=xml")).problem();
        assert_eq!(wrong["errors"][0]["allowed"], "one of json, ndjson, csv");
    }
    assert_eq!(service.get("/data/export?limit=5").problem()["errors"][0]["parameter"], "limit");
}

#[test]
fn csv_is_safe_and_exact() {
    let sql = [
        SOURCES,
        &batch(1, "csv", "2024-03-01Z"),
        &coin(1, 3, "a"),
        "update coin_labels set crypto_name = '=HYPERLINK(\"http://x\",\"y\")', symbol = 'a,\"b\"';",
        &observation(
            1,
            1,
            "2024-03-01 12:00:00.123456Z",
            "0.000000000000001230",
            "1175613768269129055911262697748936469694174461952.10",
        ),
        SETTLE,
    ];
    let (_database, service) = service_with(&sql.concat());
    let fields = "fields=crypto_name,symbol,price_usd,market_cap_usd,volume_24h_usd,observed_at&format=csv";
    let expected = "crypto_name,symbol,price_usd,market_cap_usd,volume_24h_usd,observed_at\r\n\
        \"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",\"a,\"\"b\"\"\",0.000000000000001230,\
        1175613768269129055911262697748936469694174461952.10,,2024-03-01T12:00:00.123456Z\r\n";
    assert_eq!(service.get(&format!("/data?{fields}")).body, expected);
    assert_eq!(exported(&service, &format!("/data/export?{fields}")), expected);
}

#[test]
fn an_export_is_named_and_tagged() {
    let (_database, service) = service_with(&market());
    let first = service.get("/data/export?format=csv");
    let version = first.header("x-data-version").unwrap();
    let name = format!("attachment; filename=\"kasparro-{version}.csv\"");
    assert_eq!(first.header("content-disposition"), Some(name.as_str()));
    let tag = first.header("etag").unwrap();
    let again = service.request("GET", "/data/export?format=csv", &[("If-None-Match", tag)]);
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(tag)));
    assert_ne!(service.get("/data/export?format=ndjson").header("etag"), Some(tag));
    let head = service.request("HEAD", "/data/export?format=csv", &[]);
    assert_eq!((head.status, head.body.as_str(), head.header("etag")), (200, "", Some(tag)));
    assert_eq!(head.header("x-total-count"), first.header("x-total-count"));
}

#[test]
fn an_export_is_compressed_for_whoever_asks() {
    let (_database, service) = service_with(&market());
    let plain = exported(&service, "/data/export?format=ndjson");
    for coding in ["gzip", "br", "zstd"] {
        let answer = service.request("GET", "/data/export?format=ndjson", &[("Accept-Encoding", coding)]);
        assert_eq!(answer.header("content-encoding"), Some(coding));
        let bytes = unchunked_bytes(&answer.bytes);
        let mut text = String::new();
        match coding {
            "gzip" => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
            "br" => brotli::Decompressor::new(&bytes[..], 4096).read_to_string(&mut text).unwrap(),
            _ => zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap(),
        };
        assert_eq!(text, plain, "{coding}");
    }
}

fn unchunked_bytes(mut rest: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
}

#[test]
fn what_is_too_large_is_refused_whole() {
    let (database, _) = service_with(&market());
    let service = Service::with(database.url(), |config| config.export_max_rows = 83);
    let refused = service.get("/data/export?format=csv");
    let problem = refused.problem();
    assert_eq!((refused.status, &problem["code"]), (422, &"export_too_large".into()));
    assert_eq!(problem["detail"], "it has 84 rows, and an export at most 83");
    assert_eq!(lines(&exported(&service, "/data/export?format=ndjson&source=csv")).len(), 28);
}

/// A coin with so many observations that they do not fit into the buffers between service and client.
const MANY: &str = "
    insert into observations (observed_at, batch_id, coin_id, label_id, raw_position, source_id, price_usd)
    select '2024-03-01Z'::timestamptz + n * interval '1 second', 1, 1, 1, 0, 3, n from generate_series(1, 150000) n;";

fn many() -> String {
    [SOURCES, &batch(1, "csv", "2024-03-01Z"), &coin(1, 3, "a"), MANY, SETTLE].concat()
}

/// Sessions of the service that are in the middle of an export.
fn exporting(connection: &mut PgConnection) -> i64 {
    diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(
        "(select count(*) from pg_stat_activity where datname = current_database()
             and application_name = 'kasparro-api' and query like '%p.coin_id, p.observed_at%' and xact_start is not null)",
    ))
    .get_result(connection)
    .unwrap()
}

/// Waits until so many sessions are in the middle of an export: its head is sent before its first row is asked for.
fn wait_for(observer: &mut PgConnection, sessions: i64) {
    while exporting(observer) != sessions {
        std::thread::yield_now();
    }
}

/// Asks for an export and reads no more than its beginning.
fn begun(service: &Service) -> TcpStream {
    let mut stream = TcpStream::connect(service.address()).unwrap();
    write!(stream, "GET /data/export?format=ndjson HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    stream
}

#[test]
fn slow_clients_hold_up_no_one_and_those_that_leave_hold_nothing() {
    let (database, _) = service_with(&many());
    let service = Service::with(database.url(), |config| config.pool_size = std::num::NonZeroUsize::MIN);
    let slow = [begun(&service), begun(&service)];
    let third = service.get("/data/export");
    assert_eq!((third.status, third.header("retry-after")), (503, Some("1")));
    assert_eq!(third.problem()["code"], "busy");
    service.json("/data?limit=3&sort_by=price_usd");
    let mut observer = database.connect();
    wait_for(&mut observer, 2);
    drop(slow);
    service.when("/data/export?fields=id&latest=true", |answer| answer.status == 200);
    wait_for(&mut observer, 0);
}

#[test]
fn a_broken_export_does_not_look_whole() {
    let (database, service) = service_with(&many());
    let mut stream = begun(&service);
    wait_for(&mut database.connect(), 1);
    run(&database, "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'kasparro-api' and query like '%p.coin_id, p.observed_at%'");
    let mut rest = Vec::new();
    // The end may be a reset as well.
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"));
}

#[test]
fn an_export_is_of_one_moment() {
    let (database, service) = service_with(&many());
    let mut stream = begun(&service);
    let later =
        [&batch(2, "csv", "2024-03-02Z"), &observation(1, 2, "2024-04-01Z", "1", "1")[..], SETTLE].concat();
    run(&database, &later);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let end = rest.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let text = String::from_utf8(unchunked_bytes(&rest[end..])).unwrap();
    assert_eq!(text.lines().count(), 150_000);
}
