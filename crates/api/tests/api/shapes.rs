//! Names, types and defaults of the answers.

use serde_json::{Value, json};

use crate::support::{SETTLE, SOURCES, batch, coin, observation, run, service_with, uncached_service_with};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn one_coin() -> String {
    [
        SOURCES,
        &batch(1, "coinpaprika", "2024-03-01 10:00:01Z"),
        &coin(1, 2, "btc-bitcoin"),
        &observation(1, 1, "2024-03-01 09:00Z", "60000.10", "1175613768269129055911262697748936469694.10"),
        &observation(1, 1, "2024-03-01 09:30:00.123456Z", "0.000000000001230", "null"),
        SETTLE,
    ]
    .concat()
}

#[test]
fn the_root_names_the_endpoints() {
    let (_database, service) = service_with("");
    let body = service.json("/");
    assert_eq!(body["docs"], "/docs");
    assert_eq!(body["endpoints"], json!({"health": "/health", "data": "/data", "stats": "/stats"}));
    assert!(body["message"].is_string() && body["version"].is_string());
}

#[test]
fn a_page_has_the_documented_shape() {
    let (_database, service) = service_with(&one_coin());
    let answer = service.get("/data");
    let body = answer.json();
    assert_eq!((&body["total"], &body["page"], &body["page_size"]), (&json!(2), &json!(1), &json!(10)));
    assert_eq!(body["next_cursor"], Value::Null);
    assert_eq!(
        answer.body,
        concat!(
            r#"{"total":2,"page":1,"page_size":10,"data":["#,
            r#"{"id":"1-1709285400123456","crypto_id":"btc-bitcoin","crypto_name":"Name of btc-bitcoin","#,
            r#""symbol":"BTC-BITCOIN","price_usd":0.000000000001230,"market_cap_usd":null,"volume_24h_usd":null,"#,
            r#""change_24h_percent":null,"rank":null,"circulating_supply":null,"total_supply":null,"max_supply":null,"#,
            r#""data_source":"coinpaprika","observed_at":"2024-03-01T09:30:00.123456Z","#,
            r#""created_at":"2024-03-01T10:00:01Z","age_seconds":1800,"asset_id":null},"#,
            r#"{"id":"1-1709283600000000","crypto_id":"btc-bitcoin","crypto_name":"Name of btc-bitcoin","#,
            r#""symbol":"BTC-BITCOIN","price_usd":60000.10,"#,
            r#""market_cap_usd":1175613768269129055911262697748936469694.10,"volume_24h_usd":null,"#,
            r#""change_24h_percent":null,"rank":null,"circulating_supply":null,"total_supply":null,"max_supply":null,"#,
            r#""data_source":"coinpaprika","observed_at":"2024-03-01T09:00:00Z","created_at":"2024-03-01T10:00:01Z","age_seconds":3601,"asset_id":null}"#,
            r#"],"next_cursor":null}"#
        )
    );
}

#[test]
fn ids_are_those_of_the_view() {
    let (database, service) = service_with(&one_coin());
    let shown: Vec<String> = service.json("/data")["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["id"].as_str().unwrap().to_owned())
        .collect();
    use diesel::prelude::*;
    let stored = diesel::sql_query("select 1 from cleaned_data where id = any($1)")
        .bind::<diesel::sql_types::Array<diesel::sql_types::Text>, _>(&shown)
        .execute(&mut database.connect())
        .unwrap();
    assert_eq!(stored, 2);
}

#[test]
fn a_coin_is_shown_by_its_newest_observation() {
    let (database, service) = uncached_service_with(&one_coin());
    let body = service.json("/data/btc-bitcoin");
    assert_eq!(body, service.json("/data?limit=1")["data"][0]);
    // Another source knows it under the same id, at a later time.
    run(&database, &[batch(2, "csv", "2024-03-02Z"), coin(2, 3, "btc-bitcoin")].concat());
    run(&database, &[&observation(2, 2, "2024-03-02Z", "61000", "null"), SETTLE].concat());
    assert_eq!(service.json("/data/btc-bitcoin")["data_source"], "csv");
    assert_eq!(service.json("/data/btc-bitcoin?source=coinpaprika")["data_source"], "coinpaprika");
    assert_eq!(service.get("/data/btc-bitcoin?source=coingecko").problem()["code"], "unknown_coin");
    assert_eq!(service.get("/data/BTC-bitcoin").problem()["code"], "unknown_coin");
}

#[test]
fn ids_may_hold_anything_percent_encoded() {
    let ids = ["toto-totoro-inu-?", "a/b", "two words", "战旗-战旗", "100%", "a+b", "x#y"];
    let coins: String = ids.iter().zip(1..).map(|(id, key)| coin(key, 1, id)).collect();
    let rows: String =
        (1..=ids.len()).map(|key| observation(key as i32, 1, "2024-03-01Z", "1", "1")).collect();
    let (_database, service) =
        service_with(&[SOURCES, &batch(1, "coingecko", "2024-03-01Z"), &coins, &rows, SETTLE].concat());
    for id in ids {
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(service.json(&format!("/data/{encoded}"))["crypto_id"], id);
        let page = service.json(&format!("/data?crypto_id={encoded}"));
        assert_eq!((&page["total"], &page["data"][0]["crypto_id"]), (&json!(1), &json!(id)));
    }
    assert_eq!(service.json("/data/a+b")["crypto_id"], "a+b");
    assert_eq!(service.json("/data?crypto_id=two+words")["total"], 1);
}

#[test]
fn stats_have_the_documented_shape() {
    let (database, service) = uncached_service_with(&one_coin());
    run(
        &database,
        "insert into etl_checkpoints (source, last_processed_timestamp, updated_at)
                    values ('coinpaprika', '2024-03-01 09:30Z', '2024-03-01 10:00:01Z');
                    update data_sources set raw_records = 5 where name = 'csv'",
    );
    let body = service.json("/stats");
    assert_eq!(
        body,
        json!({
            "total_cleaned_records": 2,
            "total_raw_api_records": 2,
            "total_raw_csv_records": 5,
            "sources": [
                {"source": "coingecko", "total_records": 0, "last_checkpoint": null, "last_update": null, "degraded": false},
                {"source": "coinpaprika", "total_records": 2, "last_checkpoint": "2024-03-01T09:30:00Z",
                 "last_update": "2024-03-01T10:00:01Z", "degraded": true},
                {"source": "csv", "total_records": 0, "last_checkpoint": null, "last_update": null, "degraded": false},
            ],
            "recent_etl_runs": [
                {"run_id": "1", "source": "coinpaprika,coingecko,csv", "started_at": "2024-03-01T10:00:00Z",
                 "ended_at": "2024-03-01T10:00:02.500Z", "records_processed": 9, "success": true,
                 "duration_seconds": 2.5},
            ],
        })
    );
    assert_eq!(
        service.json("/stats/summary"),
        json!({
            "total_records": 2,
            "last_successful_run": "2024-03-01T10:00:02.500Z",
            "records_by_source": {"coingecko": 0, "coinpaprika": 2, "csv": 0},
        })
    );
}

#[test]
fn ten_runs_are_shown_and_a_running_one_has_no_duration() {
    let (_database, service) = service_with(
        "insert into etl_runs (source, status, success, ended_at, program_version)
         select 'csv', 'failed', false, now(), 'test' from generate_series(1, 11);
         insert into etl_runs (source, program_version) values ('csv', 'test');",
    );
    let stats = service.json("/stats");
    let runs = stats["recent_etl_runs"].as_array().unwrap();
    assert_eq!(runs.len(), 10);
    assert_eq!(runs[0]["run_id"], "12");
    assert_eq!([&runs[0]["success"], &runs[0]["ended_at"], &runs[0]["duration_seconds"]], [&Value::Null; 3]);
    assert_eq!(service.json("/stats/summary")["last_successful_run"], Value::Null);
    assert_eq!(service.json("/health")["last_etl_run"]["run_id"], "12");
}

#[test]
fn health_tells_of_the_newest_run() {
    let (database, service) = service_with("");
    let body = service.json("/health");
    assert_eq!(
        keys(&body),
        ["database", "degraded", "freshness", "last_etl_run", "message", "status", "timestamp"]
    );
    assert_eq!([&body["status"], &body["database"]], ["healthy", "connected"]);
    assert_eq!(body["last_etl_run"], Value::Null);
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    run(&database, SOURCES);
    let told = service.when("/health", |answer| !answer.json()["last_etl_run"].is_null());
    assert_eq!(
        told.json()["last_etl_run"],
        json!({"run_id": "1", "source": "coinpaprika,coingecko,csv", "records_processed": 9, "success": true,
               "started_at": "2024-03-01T10:00:00Z", "ended_at": "2024-03-01T10:00:02.500Z"})
    );
}

#[test]
fn an_empty_database_has_empty_answers() {
    let (_database, service) = service_with("");
    assert_eq!(
        service.json("/data"),
        json!({"total": 0, "page": 1, "page_size": 10, "data": [], "next_cursor": null})
    );
    // A registered source that has delivered nothing yet is not a mistake, nor is a coin that nobody knows.
    for path in [
        "/data?source=csv",
        "/data?sort_by=price_usd&source=csv",
        "/data?crypto_id=x",
        "/data?crypto_id=x&source=csv",
    ] {
        assert_eq!(service.json(path)["total"], 0, "{path}");
    }
    assert_eq!(service.get("/data/btc-bitcoin").problem()["code"], "unknown_coin");
    assert_eq!(service.json("/stats")["sources"], json!([]));
    assert_eq!(service.json("/stats/summary")["records_by_source"], json!({}));
}

#[test]
fn probes_and_metrics_answer() {
    let (_database, service) = service_with(&one_coin());
    assert_eq!(service.json("/livez"), json!({"status": "ok"}));
    assert_eq!(service.json("/readyz"), json!({"status": "ok"}));
    service.get("/nowhere/at/all");
    let text = service.metrics();
    for line in [
        "kasparro_db_up 1",
        "kasparro_data_observations{source=\"coinpaprika\"} 2",
        "http_requests_total{method=\"GET\",route=\"/livez\",status=\"200\"} 1",
        "http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1",
        "http_request_duration_seconds_bucket{method=\"GET\",route=\"/livez\",le=\"+Inf\"} 1",
        "http_request_duration_seconds_count{method=\"GET\",route=\"/readyz\"} 1",
        "http_requests_in_flight 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
    }
}
