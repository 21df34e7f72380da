//! `GET /lineage/{id}`: from a number back to the bytes, through the real loader.

use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::{Program, workspace_binary};
use kasparro_testkit::simulator::{Route, Simulator, Universe};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Service, run};

/// A loader of a database, before its sources are named.
pub(crate) fn etl(database: &TestDatabase, sources: &str) -> Program {
    Program::new(workspace_binary("kasparro-etl"))
        .arguments(["run", "--sources", sources])
        .variable("DATABASE_URL", database.url())
}

#[track_caller]
pub(crate) fn succeed(program: Program) {
    let output = program.run();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
}

fn field<'v>(lineage: &'v Value, name: &str) -> &'v Value {
    let fields = lineage["fields"].as_array().unwrap();
    fields.iter().find(|field| field["field"] == name).unwrap_or_else(|| panic!("{name}: {lineage}"))
}

fn id_of(service: &Service, crypto_id: &str) -> String {
    service.json(&format!("/data/{crypto_id}"))["id"].as_str().unwrap().to_owned()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One element among others, with everything that is not plain.
const ELEMENT: &str = r#"{"id": "b-two", "name":"Two \"2\"", "symbol":"B", "rank": 0, "total_supply":0, "max_supply":"",
  "last_updated":"2026-01-01T00:00:00+02:00", "quotes": {"USD":{"price":3.84e-18,"volume_24h":0,"market_cap":"12.50"}}}"#;

fn tickers() -> String {
    let other = |id: &str| {
        format!(
            r#"{{"id":"{id}","name":"x","symbol":"X","last_updated":"2026-01-01T00:00:00Z","quotes":{{"USD":{{"price":1}}}}}}"#
        )
    };
    format!("[{},\n {ELEMENT} ,{}]", other("a"), other("c"))
}

#[test]
fn a_number_of_an_api_leads_back_to_the_bytes() {
    let (database, simulator) = (TestDatabase::new(), Simulator::start(Universe::new(1)));
    simulator.serve_body(Route::CoinpaprikaTickers, tickers());
    let canary = "canary-key-of-the-lineage-test";
    succeed(
        etl(&database, "coinpaprika")
            .variable("COINPAPRIKA_BASE_URL", simulator.coinpaprika_base_url())
            .variable("COINPAPRIKA_API_KEY", canary),
    );
    let service = Service::on(database.url());
    let id = id_of(&service, "b-two");
    let answer = service.get(&format!("/lineage/{id}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.body.contains(canary), "{}", answer.body);
    let lineage = answer.json();
    assert_eq!(lineage["observation"], service.json("/data/b-two"));
    assert_eq!(lineage["raw"]["fragment"], ELEMENT);
    assert_eq!(lineage["raw"]["sha256"], hash(tickers().as_bytes()));
    assert_eq!(
        [&lineage["raw"]["bytes"], &lineage["raw"]["record_count"], &lineage["raw"]["position"]],
        [&json!(tickers().len()), &json!(3), &json!(1)]
    );
    let url = lineage["request"]["url"].as_str().unwrap();
    assert_eq!(url, format!("{}/tickers", simulator.coinpaprika_base_url()));
    assert_eq!([&lineage["request"]["status"], &lineage["file"]], [&json!(200), &Value::Null]);
    let run_id = lineage["written_by"]["run_id"].as_str().unwrap();
    assert_eq!(service.json(&format!("/runs/{run_id}"))["run"]["status"], "succeeded");
    assert_eq!(lineage["revisions"], json!([]));
    assert_eq!((&lineage["is_latest"], &lineage["next_observation"]), (&json!(true), &Value::Null));

    for (name, origin, sent, stored, rule) in [
        ("total_supply", "total_supply", json!("0"), json!(null), "zero_is_unknown"),
        ("max_supply", "max_supply", json!("\"\""), json!(null), "empty_is_unknown"),
        ("circulating_supply", "circulating_supply", json!(null), json!(null), "absent_is_unknown"),
        ("rank", "rank", json!("0"), json!(null), "zero_is_unknown"),
        ("volume_24h_usd", "quotes.USD.volume_24h", json!("0"), json!("0"), "as_sent"),
        ("market_cap_usd", "quotes.USD.market_cap", json!("\"12.50\""), json!("12.50"), "text_is_number"),
        (
            "price_usd",
            "quotes.USD.price",
            json!("3.84e-18"),
            json!("0.00000000000000000384"),
            "exponent_written_out",
        ),
        ("crypto_name", "name", json!(r#""Two \"2\"""#), json!("Two \"2\""), "as_sent"),
        (
            "observed_at",
            "last_updated",
            json!("\"2026-01-01T00:00:00+02:00\""),
            json!("2025-12-31T22:00:00Z"),
            "time_in_utc",
        ),
    ] {
        let found = field(&lineage, name);
        assert_eq!(
            [&found["origin"], &found["sent"], &found["stored"], &found["rule"]],
            [&json!(origin), &sent, &stored, &json!(rule)],
            "{name}"
        );
    }
    assert_eq!(field(&lineage, "total_supply")["meaning"], "0 means unknown for total_supply");
}

#[test]
fn a_number_of_a_file_leads_back_to_its_lines() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prices.csv");
    let text = "Name;Symbol;Price;Date\r\n;;;\r\n\r\n\"Bit\r\ncoin\";BTC;\"$1,234.50\";2026-01-01\r\nDai;DAI;1;2026-01-01\r\n";
    std::fs::write(&file, text).unwrap();
    succeed(etl(&database, "csv").variable("CSV_FILE_PATH", &file));
    let service = Service::on(database.url());
    let page = service.json("/data?source=csv&sort_by=price_usd");
    let id = page["data"][0]["id"].as_str().unwrap();
    let lineage = service.json(&format!("/lineage/{id}"));
    assert_eq!(lineage["raw"]["fragment"], "\"Bit\r\ncoin\";BTC;\"$1,234.50\";2026-01-01");
    assert_eq!(lineage["raw"]["sha256"], hash(text.as_bytes()));
    let origin = &lineage["file"];
    assert_eq!(origin["path"], file.to_str().unwrap());
    assert_eq!(origin["lines"], json!([4, 5]));
    let offset = origin["byte_offset"].as_u64().unwrap() as usize;
    assert!(text[offset..].starts_with("\"Bit"), "{offset}");
    let price = field(&lineage, "price_usd");
    assert_eq!(
        [&price["origin"], &price["sent"], &price["stored"], &price["rule"]],
        ["Price", "$1,234.50", "1234.50", "decoration_removed"]
    );
    assert_eq!(field(&lineage, "crypto_id")["rule"], "made_of_symbol_and_name");

    // A later part of a file that has grown begins without a header.
    let mut grown = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    std::io::Write::write_all(&mut grown, b"Late;LTE;7.25;2026-01-02\r\n").unwrap();
    drop(grown);
    succeed(etl(&database, "csv").variable("CSV_FILE_PATH", &file));
    let found = service.when("/data?source=csv&symbol=lte", |answer| answer.json()["total"] == 1).json();
    let id = found["data"][0]["id"].as_str().unwrap();
    let lineage = service.json(&format!("/lineage/{id}"));
    assert_eq!(lineage["raw"]["fragment"], "Late;LTE;7.25;2026-01-02");
    assert_eq!(lineage["file"]["lines"], json!([7, 7]));
    let offset = lineage["file"]["byte_offset"].as_u64().unwrap() as usize;
    assert_eq!(offset, text.len());
}

#[test]
fn what_was_corrected_since_is_told() {
    let (database, simulator) = (TestDatabase::new(), Simulator::start(Universe::new(1)));
    let body = |price: &str, time: &str| {
        format!(r#"[{{"id":"b","name":"B","symbol":"b","current_price":{price},"last_updated":"{time}"}}]"#)
    };
    for (price, time) in
        [("1.10", "2026-01-01T00:00:00Z"), ("1.25", "2026-01-01T00:00:00Z"), ("2", "2026-01-02T00:00:00Z")]
    {
        simulator.serve_body(Route::CoingeckoMarkets, body(price, time));
        succeed(etl(&database, "coingecko").variable("COINGECKO_BASE_URL", simulator.coingecko_base_url()));
    }
    let service = Service::on(database.url());
    let page = service.json("/data?crypto_id=b&sort_by=price_usd&order=asc");
    let ids: Vec<&str> =
        page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2);
    let answer = service.get(&format!("/lineage/{}", ids[0]));
    let lineage = answer.json();
    assert_eq!((&lineage["is_latest"], &lineage["next_observation"]), (&json!(false), &json!(ids[1])));
    assert!(answer.body.contains(r#""price_usd":1.10"#), "every digit of the old value: {}", answer.body);
    let revisions = lineage["revisions"].as_array().unwrap();
    assert_eq!(revisions.len(), 1);
    assert_eq!((&revisions[0]["run_id"], &lineage["written_by"]["run_id"]), (&json!("1"), &json!("2")));
    assert_eq!(revisions[0]["superseded_at"], lineage["written_by"]["created_at"]);
    assert!(lineage["raw"]["fragment"].as_str().unwrap().contains("1.25"));
}

#[test]
fn what_is_unknown_or_was_pruned_is_said() {
    let (database, simulator) = (TestDatabase::new(), Simulator::start(Universe::new(1)));
    simulator.serve_body(Route::CoinpaprikaTickers, tickers());
    succeed(etl(&database, "coinpaprika").variable("COINPAPRIKA_BASE_URL", simulator.coinpaprika_base_url()));
    let service = Service::uncached(database.url());
    for id in ["x", "1", "1-", "999-1767225600000000", "1-99999999999999999999", "01-1767225600000000"] {
        let problem = service.get(&format!("/lineage/{id}")).problem();
        assert_eq!(
            (&problem["status"], &problem["code"]),
            (&json!(404), &json!("unknown_observation")),
            "{id}"
        );
    }
    let id = id_of(&service, "b-two");
    assert_eq!(service.get(&format!("/lineage/{id}?source=csv")).status, 422);
    run(&database, "delete from raw_api_data");
    let lineage = service.json(&format!("/lineage/{id}"));
    assert_eq!([&lineage["raw"], &lineage["request"], &lineage["file"]], [&Value::Null; 3]);
    assert_eq!(lineage["fields"], json!([]));
}
