//! `GET /assets`, `/assets/{id}` and `/compare`.

use serde_json::{Value, json};

use crate::support::{
    SETTLE, SOURCES, Service, batch, coin, observation, run, service_with, uncached_service_with,
};

/// Makes an asset of some coins.
pub(crate) fn asset(asset_id: i32, slug: &str, name: &str, symbol: &str, coins: &[i32]) -> String {
    let links: String = coins
        .iter()
        .map(|coin_id| {
            format!(
                "insert into asset_links (asset_id, coin_id, method, confidence) values ({asset_id}, {coin_id}, 'name', 0.99);"
            )
        })
        .collect();
    format!(
        "insert into assets (asset_id, slug, name, symbol) overriding system value
         values ({asset_id}, '{slug}', '{name}', '{symbol}'); {links}"
    )
}

/// Three sources that know Bitcoin, two of them Pepe twice, and one an unpriced coin. The newest batch is of 12:00.
fn market() -> String {
    [
        SOURCES,
        &batch(1, "coingecko", "2024-03-01 12:00Z"),
        &batch(2, "coinpaprika", "2024-03-01 11:59Z"),
        &batch(3, "csv", "2024-03-01 11:58Z"),
        &coin(1, 1, "bitcoin"),
        &coin(2, 2, "btc-bitcoin"),
        &coin(3, 3, "BTC-Bitcoin"),
        &coin(4, 1, "pepe"),
        &coin(5, 2, "pepe-pepe"),
        &coin(6, 2, "pepe-pepe-bnb"),
        &coin(7, 3, "pepe"),
        &coin(8, 1, "dust"),
        &observation(1, 1, "2024-03-01 11:59Z", "60000.10", "1000"),
        &observation(2, 2, "2024-03-01 11:58Z", "60000.3000000000000000000001", "1002"),
        &observation(3, 3, "2021-03-01Z", "49000", "900"),
        &observation(4, 1, "2024-03-01 11:59Z", "3.84e-18", "null"),
        &observation(5, 2, "2024-03-01 11:59Z", "3.85e-18", "7"),
        &observation(6, 2, "2024-03-01 11:59Z", "0.5", "8"),
        &observation(7, 3, "2024-03-01 11:00Z", "0.25", "null"),
        &observation(8, 1, "2024-03-01 11:00Z", "null", "null"),
        SETTLE,
        &asset(1, "bitcoin", "Bitcoin", "BTC", &[1, 2, 3]),
        &asset(2, "pepe-coin", "Pepe", "PEPE", &[4, 5]),
        &asset(3, "pepe-bnb", "Pepe (BNB)", "PEPE", &[6, 7]),
        &asset(4, "dust", "Dust", "DUST", &[8]),
        "insert into assets (asset_id, slug, name, state, merged_into) overriding system value
         values (5, 'old-bitcoin', 'Bitcoin', 'merged', 1);",
    ]
    .concat()
    .replace("'2024-01-01'::date", "'2021-01-01'::date")
    .replace("'2024-01-01Z'", "'2021-01-01Z'")
}

fn walk(service: &Service, query: &str) -> Vec<Value> {
    let (mut rows, mut path) = (Vec::new(), format!("/assets?{query}"));
    loop {
        let answer = service.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let page = answer.json();
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(page["total"], rows.len());
            return rows;
        };
        let link = answer.header("link").unwrap().strip_prefix('<').unwrap();
        assert_eq!(
            service.json(link.split_once('>').unwrap().0),
            service.json(&format!("/assets?{query}&cursor={cursor}"))
        );
        path = format!("/assets?{query}&cursor={cursor}");
    }
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["asset_id"].as_str().unwrap()).collect()
}

#[test]
fn every_coin_is_listed_once_with_all_its_sources() {
    let (_database, service) = service_with(&market());
    for limit in [1, 3, 100] {
        let rows = walk(&service, &format!("limit={limit}"));
        assert_eq!(ids(&rows), ["bitcoin", "pepe-bnb", "pepe-coin", "dust"], "by market cap, unknown last");
    }
    let rows = walk(&service, "limit=100");
    assert_eq!(
        rows[0]["sources"],
        json!([
            {"data_source": "coingecko", "crypto_id": "bitcoin"},
            {"data_source": "coinpaprika", "crypto_id": "btc-bitcoin"},
            {"data_source": "csv", "crypto_id": "BTC-Bitcoin"},
        ])
    );
    assert_eq!((&rows[0]["is_stale"], &rows[0]["age_seconds"]), (&json!(false), &json!(60)));
    assert_eq!(rows[0]["market_cap_usd"], 1001);
    assert_eq!(service.json("/data/btc-bitcoin")["asset_id"], "bitcoin");
    let data = service.json("/data?symbol=pepe-pepe&fields=asset_id");
    assert_eq!(data["data"], json!([{"asset_id": "pepe-coin"}]));
    assert_eq!(service.json("/assets/bitcoin/history?limit=1")["data"][0]["asset_id"], "bitcoin");
    for (query, expected) in [
        ("sort_by=price_usd&order=asc", ["pepe-coin", "pepe-bnb", "bitcoin", "dust"]),
        ("sort_by=price_usd", ["bitcoin", "pepe-bnb", "pepe-coin", "dust"]),
        ("sort_by=market_cap_usd&order=asc", ["pepe-coin", "pepe-bnb", "bitcoin", "dust"]),
        ("sort_by=volume_24h_usd", ["bitcoin", "dust", "pepe-bnb", "pepe-coin"]),
    ] {
        for limit in [1, 2, 100] {
            assert_eq!(ids(&walk(&service, &format!("{query}&limit={limit}"))), expected, "{query} {limit}");
        }
    }
}

#[test]
fn assets_are_found_by_whatever_they_are_called() {
    let (_database, service) = service_with(&market());
    for (q, expected) in [
        ("PEPE", vec!["pepe-bnb", "pepe-coin"]),
        ("btc-bit", vec!["bitcoin"]),
        ("bnb", vec!["pepe-bnb"]),
        ("itcoi", vec!["bitcoin"]),
        ("tc", vec!["bitcoin"]),
        ("nothing", vec![]),
        ("%25", vec![]),
    ] {
        let rows = walk(&service, &format!("q={q}"));
        assert_eq!(ids(&rows), expected, "{q}");
    }
    for (path, says) in [
        ("/assets?sort_by=price", "did you mean `price_usd`?"),
        ("/assets?qq=a", "did you mean `q`?"),
        ("/assets?limit=251", "limit"),
        ("/assets?cursor=abc", "not a cursor of this query"),
        ("/compare?limit=0", "limit"),
    ] {
        let problem = service.get(path).problem();
        assert!(problem["detail"].as_str().unwrap().contains(says), "{path}: {problem}");
    }
    let cursor = service.json("/assets?limit=1")["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(service.get(&format!("/assets?limit=1&order=asc&cursor={cursor}")).status, 422);
}

#[test]
fn one_asset_answers_to_each_of_its_ids_with_the_consensus_of_its_fresh_sources() {
    let (_database, service) = service_with(&market());
    let answer = service.get("/assets/bitcoin");
    let body = answer.json();
    for id in ["btc-bitcoin", "BTC-Bitcoin", "old-bitcoin"] {
        assert_eq!(service.json(&format!("/assets/{id}")), body, "{id}");
    }
    // The middle of 60000.10 and 60000.3000000000000000000001, to the last digit.
    assert!(
        answer.body.contains(r#""consensus":{"price_usd":60000.20000000000000000000005,"#),
        "{}",
        answer.body
    );
    let consensus = &body["consensus"];
    assert_eq!(consensus["prices"], 2);
    assert_eq!(
        consensus["left_out"],
        json!([{"data_source": "csv", "crypto_id": "BTC-Bitcoin", "reason": "stale"}])
    );
    assert!(answer.body.contains(r#""spread_usd":0.2000000000000000000001"#), "{}", answer.body);
    assert_eq!(consensus["spread_percent"], json!(0.0003));
    let sources = body["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 3);
    assert_eq!(sources[0]["observation"]["age_seconds"], 60);
    assert_eq!((&sources[2]["is_stale"], &sources[2]["link"]["method"]), (&json!(true), &json!("name")));

    let dust = service.json("/assets/dust");
    assert_eq!((&dust["consensus"]["price_usd"], &dust["consensus"]["prices"]), (&Value::Null, &json!(0)));
    assert_eq!(dust["consensus"]["left_out"][0]["reason"], "null");
    // Two sources use the id for different things: nobody guesses.
    let problem = service.get("/assets/pepe").problem();
    assert_eq!(problem["status"], 422);
    assert_eq!(problem["errors"][0]["allowed"], "one of pepe-bnb, pepe-coin");
    assert_eq!(service.get("/assets/nobody").problem()["code"], "unknown_asset");
    assert_eq!(service.get("/assets/bitcoin?x=1").status, 422);
}

#[test]
fn an_outlier_among_three_is_left_out_and_named() {
    let (database, service) = uncached_service_with(&market());
    run(&database, &[&observation(3, 3, "2024-03-01 11:57Z", "61000000", "900"), SETTLE].concat());
    let consensus = service.json("/assets/bitcoin")["consensus"].clone();
    assert_eq!(consensus["prices"], 2);
    assert_eq!(
        consensus["left_out"][0],
        json!({"data_source": "csv", "crypto_id": "BTC-Bitcoin", "reason": "outlier"})
    );
}

#[test]
fn a_link_that_ends_shows_at_once() {
    let (database, service) = uncached_service_with(&market());
    run(
        &database,
        "update asset_links set ended_at = now(), ended_reason = 'it was wrong' where coin_id = 3;
         insert into assets (asset_id, slug, name) overriding system value values (9, 'bitcoin-2', 'Bitcoin');
         insert into asset_links (asset_id, coin_id, method, confidence) values (9, 3, 'own', 1);",
    );
    assert_eq!(service.json("/assets/bitcoin")["sources"].as_array().unwrap().len(), 2);
    assert_eq!(service.json("/assets/BTC-Bitcoin")["asset"]["asset_id"], "bitcoin-2");
    assert_eq!(service.json("/assets/BTC-Bitcoin")["asset"]["is_stale"], true);
}

#[test]
fn disagreements_are_sorted_and_what_cannot_be_true_is_flagged() {
    let (database, service) = uncached_service_with(&market());
    run(&database, "update coin_latest set rank = 1, volume_24h_usd = 5 where coin_id = 2");
    let answer = service.get("/compare");
    let body = answer.json();
    let rows = body["disagreements"].as_array().unwrap();
    assert_eq!(ids(rows), ["pepe-bnb", "pepe-coin", "bitcoin"]);
    assert_eq!(body["compared"], 3);
    assert_eq!(rows[0]["spread_percent"], json!(66.6667));
    assert_eq!(rows[0]["prices"][1]["age_seconds"], 3600);
    assert_eq!(rows[2]["prices"].as_array().unwrap().len(), 2, "what is stale says nothing now");
    assert!(answer.body.contains(r#""consensus_usd":0.000000000000000003845"#), "{}", answer.body);
    assert_eq!(
        body["implausible"],
        json!([{"asset_id": "bitcoin", "data_source": "coinpaprika", "crypto_id": "btc-bitcoin", "rank": 1,
                "rules": ["tiny_volume_for_rank"]}])
    );
    assert_eq!(service.json("/compare?limit=1")["disagreements"].as_array().unwrap().len(), 1);
    let flags = service.json("/assets/bitcoin")["sources"][1]["flags"].clone();
    assert_eq!(flags, json!(["tiny_volume_for_rank"]));
}
