//! The universe as a function of seed and tick.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use kasparro_testkit::simulator::{Fault, Route, Simulator, Universe};
use serde_json::Value;

use crate::support::{Got, markets, simulator, tickers};

fn times(got: &Got) -> BTreeMap<String, Value> {
    got.items()
        .into_iter()
        .map(|item| (item["id"].as_str().unwrap().to_owned(), item["last_updated"].clone()))
        .collect()
}

#[test]
fn the_same_seed_and_tick_give_the_same_bytes() {
    let (one, other) = (simulator(), simulator());
    one.advance_by(500);
    one.advance_by(-460);
    other.advance_by(40);
    assert_eq!(tickers(&one).body, tickers(&other).body);
    assert_eq!(markets(&one, "per_page=250").body, markets(&other, "per_page=250").body);
    let stranger = Simulator::start(Universe::new(8).coins(100));
    stranger.advance_by(40);
    assert_ne!(tickers(&one).body, tickers(&stranger).body);
}

#[test]
fn a_tick_moves_exactly_the_coins_it_says() {
    let simulator = simulator();
    let (before, gecko_before) = (times(&tickers(&simulator)), times(&markets(&simulator, "per_page=250")));
    simulator.advance();
    let (after, gecko_after) = (times(&tickers(&simulator)), times(&markets(&simulator, "per_page=250")));
    let moved = simulator.moved_coins(0, 1);
    assert!((30..80).contains(&moved.len()), "{} of 100 moved", moved.len());
    for ids in simulator.coin_ids() {
        let says = moved.contains(&ids);
        assert_eq!(before[&ids.coinpaprika] != after[&ids.coinpaprika], says, "{ids:?}");
        if !gecko_before[&ids.coingecko].is_null() {
            assert_eq!(gecko_before[&ids.coingecko] != gecko_after[&ids.coingecko], says, "{ids:?}");
        }
    }
    for (id, time) in &before {
        assert!(after[id].as_str() >= time.as_str(), "{id} went backwards");
    }
}

#[test]
fn times_are_spread_over_minutes_and_never_in_the_future() {
    let base: DateTime<Utc> = "2026-10-05T10:00:00Z".parse().unwrap();
    let simulator =
        Simulator::start(Universe::new(3).coins(250).base_time(base).tick_length(Duration::from_secs(300)));
    simulator.advance_by(2);
    assert_eq!(simulator.now().to_rfc3339(), "2026-10-05T10:10:00+00:00");
    for got in [tickers(&simulator), markets(&simulator, "per_page=250")] {
        let mut ages: Vec<i64> = times(&got)
            .values()
            .filter_map(Value::as_str)
            .map(|text| (simulator.now() - text.parse::<DateTime<Utc>>().unwrap()).num_seconds())
            .collect();
        ages.sort_unstable();
        assert!(ages[0] >= 0 && ages[ages.len() / 2] > 20 && ages[ages.len() - 1] > 400, "{ages:?}");
    }
}

#[test]
fn an_origin_that_lags_serves_an_older_snapshot_later() {
    let simulator = simulator();
    let old = tickers(&simulator).body;
    simulator.advance_by(5);
    let new = tickers(&simulator).body;
    simulator.fault(Route::CoinpaprikaTickers, Fault::ticks_behind(5)).once();
    assert_eq!(tickers(&simulator).body, old);
    assert_eq!(tickers(&simulator).body, new);
}

#[test]
fn a_live_simulator_is_fresh_and_goes_on_where_another_stopped() {
    let live = || {
        Simulator::bind_live(("127.0.0.1", 0), Universe::new(5).coins(40), Duration::from_secs(3_600))
            .unwrap()
    };
    let (one, other) = (live(), live());
    let age = Utc::now() - one.now();
    assert!(age.num_seconds() >= 0 && age.num_seconds() <= 3_600);
    if one.tick() == other.tick() {
        assert_eq!(tickers(&one).body, tickers(&other).body);
    }
    let tick = one.tick();
    one.advance_by(1_000_000);
    assert!(one.tick() - tick <= 1, "the wall clock is not moved by hand");
}

#[test]
fn ordinary_universes_have_complete_rows() {
    let simulator = Simulator::start(Universe::new(9).coins(250).without_quirks());
    for item in markets(&simulator, "per_page=250").items() {
        for field in
            ["current_price", "market_cap", "total_volume", "last_updated", "price_change_percentage_24h"]
        {
            assert!(!item[field].is_null(), "{field} of {}", item["id"]);
        }
    }
    for item in tickers(&simulator).items() {
        assert!(item["quotes"]["USD"]["price"].as_f64().unwrap() > 0.0);
        assert!(item["quotes"]["USD"]["market_cap"].as_u64().unwrap() > 0, "{}", item["id"]);
    }
}

#[test]
fn twenty_thousand_coins_have_distinct_ids() {
    let simulator = Simulator::start(Universe::new(1).coins(20_000));
    let ids = simulator.coin_ids();
    let distinct = |of: fn(&kasparro_testkit::simulator::CoinIds) -> &String| {
        ids.iter().map(of).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!((distinct(|ids| &ids.coinpaprika), distinct(|ids| &ids.coingecko)), (20_000, 20_000));
}
