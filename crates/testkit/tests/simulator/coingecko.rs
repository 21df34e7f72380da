//! CoinGecko as it is played.

use std::collections::BTreeSet;

use kasparro_testkit::simulator::{Route, Simulator, Universe};

use crate::support::{get, markets, simulator, tickers};

#[test]
fn pages_hold_every_coin_once_and_end_in_an_empty_array() {
    let simulator = Simulator::start(Universe::new(7).coins(523));
    let lengths: Vec<usize> =
        (1..=4).map(|page| markets(&simulator, &format!("per_page=250&page={page}")).items().len()).collect();
    assert_eq!(lengths, [250, 250, 23, 0]);
    let ids: BTreeSet<String> =
        (1..=3).flat_map(|page| markets(&simulator, &format!("per_page=250&page={page}")).ids()).collect();
    assert_eq!(ids.len(), 523);
    assert_eq!(markets(&simulator, "per_page=250&page=4").text(), "[]");
}

#[test]
fn page_sizes_default_to_100_and_end_at_250() {
    let simulator = Simulator::start(Universe::new(7).coins(300));
    assert_eq!(markets(&simulator, "").items().len(), 100);
    assert_eq!(markets(&simulator, "per_page=251").items().len(), 250);
    let asked = simulator.requests_to(Route::CoingeckoMarkets);
    assert_eq!((asked[1].parameter("per_page"), asked[1].page()), (Some("251"), 1));
}

#[test]
fn the_order_is_by_market_cap_or_by_id() {
    let simulator = Simulator::start(Universe::new(7).coins(200).without_quirks());
    let ranked = markets(&simulator, "per_page=200");
    assert_eq!(&ranked.ids()[..2], ["bitcoin", "ethereum"]);
    let caps: Vec<f64> = ranked.items().iter().map(|item| item["market_cap"].as_f64().unwrap()).collect();
    assert!(caps.is_sorted_by(|left, right| left >= right));
    let by_id = markets(&simulator, "per_page=200&order=id_asc").ids();
    assert!(by_id.is_sorted() && by_id.len() == 200);
    assert_eq!(markets(&simulator, "ids=ethereum,%20bitcoin,nothing").ids(), ["bitcoin", "ethereum"]);
}

#[test]
fn a_missing_or_unknown_currency_is_refused() {
    let simulator = simulator();
    let got = get(&format!("{}/coins/markets?page=1", simulator.coingecko_base_url()));
    assert_eq!((got.status, got.text().as_str()), (422, "{\"error\":\"Missing parameter vs_currency\"}"));
    assert_eq!(get(&format!("{}/coins/markets?vs_currency=xyz", simulator.coingecko_base_url())).status, 400);
    assert_eq!(
        get(&format!("{}/coins/nothing", simulator.coingecko_base_url())).text(),
        "{\"error\":\"coin not found\"}"
    );
}

#[test]
fn quirks_are_spelled_on_the_wire() {
    let text = markets(&simulator(), "per_page=250").text();
    let quirks = [
        "\"id\":\"2step token\"",
        "\"id\":\"_\"",
        "\"id\":\"-7\",\"symbol\":\"虎\"",
        "\"symbol\":\"\"",
        "\"symbol\":\"\u{3000}\"",
        "\"symbol\":\"🚀\"",
        "\"symbol\":\"no\u{a0}break\"",
        "\"current_price\":null",
        "\"last_updated\":null",
        "\"total_supply\":1.0e+76",
        "\"fully_diluted_valuation\":1304926187735529041768820953417706628153904417283",
        "\"atl\":-270.577",
        "\"atl_change_percentage\":8.146238558901932e+36",
        "\"current_price\":1.0e-18",
        "\"roi\":{\"times\":",
        "\"circulating_supply\":0.0",
        "\"max_supply\":null",
        "e-05,",
    ];
    for quirk in quirks {
        assert!(text.contains(quirk), "{quirk} is missing");
    }
}

#[test]
fn an_unchanged_page_is_not_sent_again_to_whoever_has_its_weak_tag() {
    let simulator = simulator();
    let first = markets(&simulator, "page=1");
    let tag = first.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\""));
    let url = format!("{}/coins/markets?vs_currency=usd&page=1", simulator.coingecko_base_url());
    let ask =
        || crate::support::agent().get(&url).header("If-None-Match", &tag).call().unwrap().status().as_u16();
    assert_eq!(ask(), 304);
    simulator.advance();
    assert_eq!(ask(), 200);
}

#[test]
fn both_vendors_agree_on_prices_and_symbols_of_the_coins_they_share() {
    let simulator = Simulator::start(Universe::new(11).coins(400).without_quirks());
    simulator.advance_by(1_234);
    let (paprika, gecko) = (
        tickers(&simulator).items(),
        [1, 2].map(|page| markets(&simulator, &format!("per_page=250&page={page}"))),
    );
    let gecko: Vec<_> = gecko.iter().flat_map(|page| page.items()).collect();
    let mut compared = 0;
    for ids in simulator.coin_ids() {
        let ours = paprika.iter().find(|item| item["id"] == ids.coinpaprika).unwrap();
        let theirs = gecko.iter().find(|item| item["id"] == ids.coingecko).unwrap();
        let (left, right) =
            (ours["quotes"]["USD"]["price"].as_f64().unwrap(), theirs["current_price"].as_f64().unwrap());
        assert!((left / right - 1.0).abs() < 0.003, "{ids:?}: {left} against {right}");
        assert_eq!(ours["symbol"].as_str().unwrap().to_lowercase(), theirs["symbol"].as_str().unwrap());
        compared += 1;
    }
    assert_eq!(compared, 400);
}

#[test]
fn the_list_begins_with_an_empty_id_and_knows_platforms_when_asked() {
    let simulator = simulator();
    let plain = get(&format!("{}/coins/list", simulator.coingecko_base_url()));
    assert_eq!((plain.ids().len(), plain.ids()[0].as_str()), (101, ""));
    assert!(plain.items()[1].get("platforms").is_none());
    let with = get(&format!("{}/coins/list?include_platform=true", simulator.coingecko_base_url()));
    assert!(with.items().iter().any(|item| item["platforms"]["ethereum"].is_string()));
    assert!(get(&format!("{}/ping", simulator.coingecko_base_url())).text().contains("gecko_says"));
}

#[test]
fn requests_without_a_user_agent_are_turned_away() {
    let simulator = simulator();
    let url = format!("{}/ping", simulator.coingecko_base_url());
    let got = crate::support::agent().get(&url).header("User-Agent", "").call().unwrap();
    assert_eq!(got.status().as_u16(), 403);
}
