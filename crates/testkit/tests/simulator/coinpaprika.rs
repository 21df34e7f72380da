//! CoinPaprika as it is played.

use kasparro_testkit::simulator::{Simulator, Universe};
use serde_json::Value;

use crate::support::{get, simulator, tickers};

#[test]
fn tickers_are_one_unordered_array_with_the_keys_of_the_free_plan() {
    let got = tickers(&simulator());
    assert_eq!((got.status, got.header("content-type")), (200, Some("application/json; charset=UTF-8")));
    assert_eq!(got.items().len(), 100);
    let keys: Vec<String> = got.items()[0].as_object().unwrap().keys().cloned().collect();
    let expected = [
        "beta_value",
        "first_data_at",
        "id",
        "last_updated",
        "max_supply",
        "name",
        "quotes",
        "rank",
        "symbol",
        "total_supply",
    ];
    assert_eq!(keys, expected);
    let ranks: Vec<u64> = got.items().iter().map(|item| item["rank"].as_u64().unwrap()).collect();
    assert_eq!(got.ids()[0], "btc-bitcoin");
    assert!(!ranks.is_sorted(), "the array is not in order of rank");
    let mut sorted = ranks;
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=100).collect::<Vec<_>>());
}

#[test]
fn quirks_are_spelled_on_the_wire() {
    let text = tickers(&simulator()).text();
    let quirks = [
        "\"id\":\"-lantern\"",
        "\"id\":\"nara-nara-deer-?\"",
        "\"id\":\"moss-mossy-frog-SOL\"",
        "\"id\":\"竹林-竹林\"",
        "\"symbol\":\"ZBX \"",
        "\"name\":\"Safe Harbour \"",
        "\"max_supply\":9223372036854775807",
        "\"total_supply\":441717087252048131",
        "\"market_cap\":0",
        "\"ath_price\":null,\"ath_date\":null",
        "\"percent_change_24h\":7.699999809265137",
        "e-18,",
    ];
    for quirk in quirks {
        assert!(text.contains(quirk), "{quirk} is missing");
    }
    assert!(text.ends_with("}}}]\n"));
    assert!(!text.contains("circulating_supply"));
}

#[test]
fn a_single_ticker_is_found_by_its_encoded_id_with_and_without_a_slash() {
    let simulator = simulator();
    let base = simulator.coinpaprika_base_url();
    for id in ["btc-bitcoin", "btc-bitcoin/", "nara-nara-deer-%3F", "%E7%AB%B9%E6%9E%97-%E7%AB%B9%E6%9E%97/"]
    {
        let got = get(&format!("{base}/tickers/{id}?quotes=USD"));
        assert_eq!(got.status, 200, "{id}");
        assert!(got.header("cache-control").unwrap().contains("stale-if-error=600"));
        assert!(got.header("last-modified").unwrap().ends_with(" GMT"));
        assert!(tickers(&simulator).items().contains(&got.json()));
    }
}

#[test]
fn what_does_not_exist_is_answered_as_recorded() {
    let simulator = simulator();
    let got = get(&format!("{}/tickers/no-such-coin", simulator.coinpaprika_base_url()));
    assert_eq!((got.status, got.header("content-type")), (404, Some("application/json")));
    assert_eq!(got.text(), "{\"error\":\"id not found\"}\n");
    assert_eq!(got.header("content-length"), Some("25"));
}

#[test]
fn a_list_with_a_trailing_slash_is_redirected_by_a_relative_path() {
    let simulator = simulator();
    let got = get(&format!("{}/tickers/?quotes=USD", simulator.coinpaprika_base_url()));
    assert_eq!((got.status, got.header("location")), (301, Some("/coinpaprika/v1/tickers?quotes=USD")));
    assert!(got.header("content-type").unwrap().starts_with("text/html"));
}

#[test]
fn coins_and_contracts_speak_of_the_same_ids() {
    let simulator = simulator();
    let base = simulator.coinpaprika_base_url();
    let mut listed = get(&format!("{base}/coins")).ids();
    let mut priced = tickers(&simulator).ids();
    listed.sort();
    priced.sort();
    assert_eq!(listed, priced);
    assert!(
        get(&format!("{base}/contracts")).json().as_array().unwrap().contains(&Value::from("eth-ethereum"))
    );
    let contracts = get(&format!("{base}/contracts/eth-ethereum")).items();
    assert!(contracts.len() > 20);
    for contract in contracts {
        assert!(listed.contains(&contract["id"].as_str().unwrap().to_owned()));
        assert_eq!(contract["address"].as_str().unwrap().len(), 42);
    }
    assert_eq!(get(&format!("{base}/contracts/no-such-platform")).status, 404);
}

#[test]
fn a_paid_plan_has_the_circulating_supply() {
    let simulator = Simulator::start(Universe::new(7).coins(60).with_circulating_supply());
    assert_eq!(tickers(&simulator).text().matches("\"circulating_supply\":").count(), 60);
}
