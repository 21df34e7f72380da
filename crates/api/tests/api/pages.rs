//! Order, ties, totals, and walks over all pages.

use std::collections::BTreeSet;

use kasparro_testkit::database::TestDatabase;
use serde_json::Value;

use crate::support::{SETTLE, SOURCES, Service, batch, coin, observation, run, service_with};

const SORTS: [&str; 3] = ["created_at", "price_usd", "market_cap_usd"];
const ORDERS: [&str; 2] = ["asc", "desc"];
const FILTERS: [&str; 4] = ["", "&source=coinpaprika", "&crypto_id=coin-1", "&crypto_id=coin-1&source=csv"];

/// 84 observations of 6 ids by 3 sources: equal amounts, unknown amounts, and batches of the same moment.
pub(crate) fn market() -> String {
    let mut sql = SOURCES.to_owned();
    let names = ["coingecko", "coinpaprika", "csv"];
    for number in 1..=12 {
        let created = format!("2024-03-0{}Z", 1 + number / 4);
        sql += &batch(number, names[number as usize % 3], &created);
    }
    for coin_id in 1..=6 {
        sql += &coin(coin_id, 1 + (coin_id % 3) as i16, &format!("coin-{}", coin_id % 2));
    }
    for coin_id in 1..=6_i32 {
        let own: Vec<i64> = (1..=12).filter(|number| number % 3 == i64::from(coin_id % 3)).collect();
        for nth in 0..14_i32 {
            let observed = format!("2024-0{}-{:02}Z", 1 + nth % 3, 1 + nth);
            let price = if (nth + coin_id) % 4 == 0 { "null".to_owned() } else { format!("{}.50", nth % 5) };
            let cap = if nth % 3 == 0 { "null".to_owned() } else { format!("{}e20", (nth * coin_id) % 7) };
            sql += &observation(coin_id, own[nth as usize % own.len()], &observed, &price, &cap);
        }
    }
    sql + "update observations set volume_24h_usd = price_usd * 100 where price_usd < 4;" + SETTLE
}

fn ids(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Every row, from one page after the other.
pub(crate) fn walk(service: &Service, query: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut path = format!("/data?{query}");
    for number in 1.. {
        let page = service.json(&path);
        assert_eq!(page["page"], number, "{path}");
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/data?{query}&cursor={cursor}"),
            None => break,
        }
    }
    rows
}

/// The sort key of a row, as text that compares like the service sorts; unknown amounts apart.
fn key(row: &Value, sort: &str) -> Option<f64> {
    match sort {
        "created_at" => Some(
            chrono::DateTime::parse_from_rfc3339(row[sort].as_str().unwrap()).unwrap().timestamp_micros()
                as f64,
        ),
        _ => row[sort].as_f64(),
    }
}

fn tie(row: &Value) -> (i64, i64) {
    let (coin, time) = row["id"].as_str().unwrap().split_once('-').unwrap();
    (coin.parse().unwrap(), time.parse().unwrap())
}

#[test]
fn a_walk_meets_every_row_once_in_order() {
    let (_database, service) = service_with(&market());
    for sort in SORTS {
        for order in ORDERS {
            for filter in FILTERS {
                for limit in [1, 7, 28, 100] {
                    let query = format!("sort_by={sort}&order={order}{filter}&limit={limit}");
                    let rows = walk(&service, &query);
                    let total = service.json(&format!("/data?limit=1{filter}"))["total"].as_u64().unwrap();
                    let distinct: BTreeSet<_> = rows.iter().map(|row| row["id"].to_string()).collect();
                    assert_eq!((rows.len() as u64, distinct.len() as u64), (total, total), "{query}");
                    check_order(&rows, sort, order, &query);
                }
            }
        }
    }
}

fn check_order(rows: &[Value], sort: &str, order: &str, query: &str) {
    let known = rows.iter().take_while(|row| key(row, sort).is_some()).count();
    assert!(rows[known..].iter().all(|row| key(row, sort).is_none()), "{query}: nulls last");
    for pair in rows.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        let (left, right) = if order == "asc" { (a, b) } else { (b, a) };
        match (key(left, sort), key(right, sort)) {
            (Some(smaller), Some(greater)) => {
                assert!(smaller <= greater, "{query}: {a} before {b}");
                // Batches of the same moment are apart: within one the tie is broken by coin and time.
                assert!(
                    smaller < greater || sort == "created_at" || tie(left) < tie(right),
                    "{query}: {a} before {b}"
                );
            }
            (None, None) => assert!(tie(left) < tie(right), "{query}: {a} before {b}"),
            _ => {}
        }
    }
}

#[test]
fn offset_and_cursor_show_the_same_pages() {
    let (_database, service) = service_with(&market());
    for sort in SORTS {
        for order in ORDERS {
            for filter in FILTERS {
                let query = format!("sort_by={sort}&order={order}{filter}");
                let walked: Vec<_> = walk(&service, &format!("{query}&limit=9"))
                    .iter()
                    .map(|row| row["id"].as_str().unwrap().to_owned())
                    .collect();
                let mut skipped = Vec::new();
                for offset in (0..walked.len()).step_by(9) {
                    let page = service.json(&format!("/data?{query}&limit=9&offset={offset}"));
                    assert_eq!(page["page"], offset / 9 + 1);
                    skipped.extend(ids(&page));
                }
                assert_eq!(walked, skipped, "{query}");
            }
        }
    }
    assert_eq!(service.json("/data?offset=100000")["data"], serde_json::json!([]));
}

#[test]
fn a_cursor_goes_on_where_offset_began() {
    let (_database, service) = service_with(&market());
    let first = service.json("/data?sort_by=price_usd&limit=5&offset=5");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = service.json(&format!("/data?sort_by=price_usd&limit=5&cursor={cursor}"));
    assert_eq!(ids(&second), ids(&service.json("/data?sort_by=price_usd&limit=5&offset=10")));
    assert_eq!(second["page"], 3);
}

#[test]
fn the_link_header_leads_to_the_next_page() {
    let (_database, service) = service_with(&market());
    let answer = service.get("/data?crypto_id=coin-1&sort_by=price_usd&order=asc&limit=4&offset=4");
    let link = answer.header("link").unwrap();
    let path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    let next = service.json(path);
    assert_eq!(
        ids(&next),
        ids(&service.json("/data?crypto_id=coin-1&sort_by=price_usd&order=asc&limit=4&offset=8"))
    );
    assert_eq!(service.get("/data?limit=100").header("link"), None);
}

/// What is walked while rows are written; some of the new rows are within each of them.
const WALKED: [&str; 8] = [
    "",
    "&source=csv",
    "&source=csv,coinpaprika",
    "&crypto_id=coin-0,coin-1",
    "&symbol=coin-1",
    "&min_price_usd=1&max_price_usd=4",
    "&max_market_cap_usd=5e20",
    "&from=2024-01-05T00:00:00Z",
];

#[test]
fn rows_written_meanwhile_neither_repeat_nor_hide_others() {
    let (database, service) = service_with(&market());
    let mut number = 20;
    for sort in SORTS {
        for order in ORDERS {
            for filter in WALKED {
                let query = format!("sort_by={sort}&order={order}{filter}&limit=10");
                let before: BTreeSet<_> =
                    walk(&service, &query).iter().map(|row| row["id"].to_string()).collect();
                let mut met = Vec::new();
                let mut path = format!("/data?{query}");
                // In ascending order of writing the walk would never catch up with what is written for ever.
                let last = number + 4;
                loop {
                    let page = service.json(&path);
                    met.extend(page["data"].as_array().unwrap().iter().map(|row| row["id"].to_string()));
                    let Some(cursor) = page["next_cursor"].as_str() else { break };
                    path = format!("/data?{query}&cursor={cursor}");
                    if number < last {
                        number += 1;
                        write_more(&database, number);
                    }
                }
                let old: Vec<_> = met.iter().filter(|id| before.contains(*id)).collect();
                let distinct: BTreeSet<_> = met.iter().collect();
                assert_eq!((old.len(), distinct.len()), (before.len(), met.len()), "{query}");
            }
        }
    }
}

/// A batch of two rows of the csv source: one of a middling price, and one without.
fn write_more(database: &TestDatabase, number: i64) {
    let time = format!("2024-04-01 {:02}:{:02}Z", number / 60, number % 60);
    let coins = [2, 5].map(|coin_id| coin_id.to_string()).join(",");
    let sql = [
        batch(number, "csv", &time),
        observation(2, number, &time, "2.50", "null"),
        observation(5, number, &time, "null", "3e20"),
        format!(
            "update coin_latest set observations = observations + 1 where coin_id in ({coins});
             update etl_batches set extracted = 2, loaded = 2, observed_from = '{time}', observed_to = '{time}'
              where batch_id = {number};
             update data_sources set observations = observations + 2 where name = 'csv';"
        ),
    ];
    run(database, &sql.concat());
}
