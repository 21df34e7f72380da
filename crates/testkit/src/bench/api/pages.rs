//! Pages without the response cache: every order and filter, and far from the first one.

use anyhow::{Context, Result};

use super::Plan;
use super::load::wrk;
use super::service::Service;
use crate::bench::Comparison;
use crate::bench::measure::median;

/// What is combined with every order. The bounds leave much and little.
const FILTERS: [&str; 11] = [
    "",
    "source=csv",
    "source=coingecko,csv",
    "crypto_id={coin}",
    "latest=true",
    "min_price_usd=1",
    "min_price_usd=1&max_price_usd=1.001",
    "min_market_cap_usd=1000&max_price_usd=1000",
    "min_volume_24h_usd=1000",
    "from=2025-01-01T00:00:00Z",
    "from=2025-01-02T00:00:00Z&to=2025-01-02T01:00:00Z",
];

const SORTS: [&str; 3] = ["created_at", "price_usd", "market_cap_usd"];

/// Pages to walk.
const DEEP: usize = 10_000;

/// Every order and filter beside one coin; the first request of each finds its total, as one of each version does.
pub(super) fn every_page(plan: &Plan, service: &Service, coin: &str) -> Result<()> {
    let mean = |path: &str| -> Result<f64> {
        service.get(path)?;
        let loads = (0..plan.runs).map(|_| wrk(&service.url(path), 1, 1).map(|load| load.mean_ms));
        Ok(median(loads.collect::<Result<_>>()?))
    };
    let one_coin = format!("/data/{coin}");
    for filter in FILTERS {
        let filter = filter.replace("{coin}", coin);
        for sort in SORTS {
            for order in ["desc", "asc"] {
                let one = mean(&one_coin)?;
                let path = format!("/data?{filter}&sort_by={sort}&order={order}").replace("?&", "?");
                let what = format!("cache off {}", &path["/data?".len()..]);
                println!("{}", Comparison::of(what, mean(&path)?, "one coin, cache off", one, "ms", "<= 3x"));
            }
        }
    }
    Ok(())
}

/// Page 10,000 by cursor beside page 1.
pub(super) fn deep(plan: &Plan, service: &Service) -> Result<()> {
    for sort in SORTS {
        let first = format!("/data?sort_by={sort}");
        let mut path = first.clone();
        for _ in 1..DEEP {
            let page = service.get(&path)?;
            let page: serde_json::Value = serde_json::from_str(&page)?;
            let cursor = page["next_cursor"].as_str().with_context(|| format!("{path} is the last page"))?;
            path = format!("{first}&cursor={cursor}");
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..plan.runs {
            theirs.push(wrk(&service.url(&first), 1, plan.seconds)?.mean_ms);
            ours.push(wrk(&service.url(&path), 1, plan.seconds)?.mean_ms);
        }
        let what = format!("page {DEEP} by cursor, {sort}");
        println!("{}", Comparison::of(what, median(ours), "page 1", median(theirs), "ms", "<= 1.5x"));
    }
    Ok(())
}
