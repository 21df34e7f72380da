//! `GET /quality`: found by the loader, shown by the service.

use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::simulator::{Route, Simulator, Universe};
use serde_json::{Value, json};

use crate::lineage::{etl, succeed};
use crate::support::Service;

fn listing(volume: &str, supply: &str, minute: u32) -> String {
    format!(
        r#"[{{"id":"btc-bitcoin","name":"Bitcoin","symbol":"BTC","rank":1,"total_supply":{supply},"max_supply":21000000,
             "last_updated":"2026-01-01T00:{minute:02}:00Z","quotes":{{"USD":{{"price":90000,"volume_24h":{volume}}}}}}},
            {{"id":"fine","name":"Fine","symbol":"F","rank":2,"last_updated":"2026-01-01T00:{minute:02}:00Z",
             "quotes":{{"USD":{{"price":1,"volume_24h":1000000}}}}}}]"#
    )
}

#[test]
fn what_cannot_be_true_is_found_kept_and_cleared() {
    let (database, simulator) = (TestDatabase::new(), Simulator::start(Universe::new(1)));
    let load = |volume: &str, supply: &str, minute| {
        simulator.serve_body(Route::CoinpaprikaTickers, listing(volume, supply, minute));
        succeed(
            etl(&database, "coinpaprika").variable("COINPAPRIKA_BASE_URL", simulator.coinpaprika_base_url()),
        );
    };
    let service = Service::on(database.url());
    let open = |query: &str| service.json(&format!("/quality?{query}"))["data"].as_array().unwrap().clone();
    assert!(open("").is_empty());

    load("5", "21000000.0000000000000000001", 1);
    let all = open("");
    assert_eq!(
        all.len(),
        1,
        "of the supplies a float cannot tell which is more, and rules judge by factors: {all:?}"
    );
    let volume = open("rule=tiny_volume_for_rank")[0].clone();
    assert_eq!(volume["evidence"], "rank 1, volume_24h_usd 5");
    assert_eq!((&volume["crypto_id"], &volume["times"]), (&json!("btc-bitcoin"), &json!(1)));
    let lineage = service.json(&format!("/lineage/{}", volume["observation"].as_str().unwrap()));
    assert_eq!(lineage["observation"]["volume_24h_usd"], 5);
    assert_eq!(open("source=csv").len(), 0);

    load("6", "21000001", 2);
    let again = open("rule=tiny_volume_for_rank")[0].clone();
    assert_eq!((&again["times"], &again["first_seen_at"]), (&json!(2), &volume["first_seen_at"]));
    assert_eq!(again["evidence"], "rank 1, volume_24h_usd 6");
    assert_eq!(open("rule=total_beyond_max")[0]["evidence"], "total_supply 21000001, max_supply 21000000");
    let rules = service.json("/quality")["rules"].clone();
    let count = |name: &str| {
        rules.as_array().unwrap().iter().find(|rule| rule["rule"] == name).unwrap()["open"].clone()
    };
    assert_eq!((count("tiny_volume_for_rank"), count("price_without_value")), (json!(1), json!(0)));

    load("50000000", "21000001", 3);
    assert!(open("rule=tiny_volume_for_rank").is_empty());
    let cleared = open("state=cleared");
    assert_eq!((cleared.len(), &cleared[0]["first_seen_at"]), (1, &volume["first_seen_at"]));
    assert_ne!(cleared[0]["cleared_at"], Value::Null);
    let first = service.json("/quality?state=all&limit=1");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = service.json(&format!("/quality?state=all&limit=1&cursor={cursor}"));
    assert_ne!(first["data"], second["data"]);
    assert_eq!(service.get(&format!("/quality?limit=1&cursor={cursor}")).status, 422);
    let problem = service.get("/quality?rule=tiny_volume").problem();
    assert!(problem["detail"].as_str().unwrap().contains("is not allowed"), "{problem}");

    // Once more, from the beginning.
    load("5", "21000000", 4);
    let back = open("rule=tiny_volume_for_rank")[0].clone();
    assert_eq!((&back["times"], &back["cleared_at"]), (&json!(1), &Value::Null));
    assert_ne!(back["first_seen_at"], volume["first_seen_at"]);
    assert!(open("rule=total_beyond_max").is_empty());
}
