//! Filters: what they leave is what a plain query of the view leaves, in number and in rows.

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel::sql_types::{Array, Text};
use kasparro_testkit::database::TestDatabase;

use crate::pages::{market, walk};
use crate::support::{SETTLE, SOURCES, Service, batch, coin, observation, run, service_with};

/// A filter, and the same in SQL over `cleaned_data`.
const FILTERS: [(&str, &str); 25] = [
    ("source=csv,coingecko", "data_source in ('csv', 'coingecko')"),
    ("source=csv,csv", "data_source = 'csv'"),
    ("crypto_id=coin-0,coin-1,nobody", "true"),
    ("crypto_id=coin-0,nobody&source=csv,coinpaprika", "crypto_id = 'coin-0' and data_source <> 'coingecko'"),
    ("symbol=coin-1", "symbol = 'COIN-1'"),
    ("symbol=COIN-1,nothing&source=csv", "symbol = 'COIN-1' and data_source = 'csv'"),
    ("symbol=coin-1&crypto_id=coin-0", "false"),
    ("crypto_id=coin-0&from=2024-02-01T00:00:00Z", "crypto_id = 'coin-0' and observed_at >= '2024-02-01Z'"),
    (
        "crypto_id=coin-0&from=2024-02-02T00:00:00Z&to=2024-03-06T00:00:00%2B00:00",
        "crypto_id = 'coin-0' and observed_at between '2024-02-02Z' and '2024-03-06Z'",
    ),
    (
        "crypto_id=coin-1&min_price_usd=1.5&max_price_usd=3.50",
        "crypto_id = 'coin-1' and price_usd between 1.5 and 3.5",
    ),
    ("symbol=coin-1&max_market_cap_usd=3e20", "crypto_id = 'coin-1' and market_cap_usd <= 3e20"),
    ("symbol=coin-1&min_volume_24h_usd=100", "crypto_id = 'coin-1' and volume_24h_usd >= 100"),
    ("crypto_id=coin-1&max_price_usd=0", "false"),
    ("latest=false", "true"),
    ("min_price_usd=1.5", "price_usd >= 1.5"),
    (
        "min_price_usd=1.5&max_price_usd=2.5&source=csv",
        "price_usd between 1.5 and 2.5 and data_source = 'csv'",
    ),
    ("max_market_cap_usd=3e20", "market_cap_usd <= 3e20"),
    ("min_market_cap_usd=1e20&max_price_usd=2.5", "market_cap_usd >= 1e20 and price_usd <= 2.5"),
    ("max_volume_24h_usd=500", "volume_24h_usd <= 500"),
    (
        "min_volume_24h_usd=100&source=csv,coingecko&min_price_usd=0.5",
        "volume_24h_usd >= 100 and data_source <> 'coinpaprika' and price_usd >= 0.5",
    ),
    ("from=2024-02-05T00:00:00Z", "observed_at >= '2024-02-05Z'"),
    ("to=2024-02-05T00:00:00Z", "observed_at <= '2024-02-05Z'"),
    (
        "from=2024-01-07T00:00:00Z&to=2024-03-03T00:00:00Z&source=csv",
        "observed_at between '2024-01-07Z' and '2024-03-03Z' and data_source = 'csv'",
    ),
    ("from=2024-01-07T00:00:00Z&max_price_usd=3.5", "observed_at >= '2024-01-07Z' and price_usd <= 3.5"),
    ("from=2024-03-20T00:00:00Z", "false"),
];

/// The same among the newest observations of each coin.
const NEWEST: [(&str, &str); 6] = [
    ("", "true"),
    ("&source=csv,coinpaprika", "data_source <> 'coingecko'"),
    ("&crypto_id=coin-1", "crypto_id = 'coin-1'"),
    ("&min_price_usd=0", "price_usd is not null"),
    ("&source=csv&max_market_cap_usd=1e30", "data_source = 'csv' and market_cap_usd is not null"),
    ("&to=2023-01-01T00:00:00Z", "false"),
];

fn ids_where(database: &TestDatabase, from: &str, condition: &str) -> BTreeSet<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Array<Text>)]
        ids: Vec<String>,
    }
    let sql = format!("select coalesce(array_agg(id), '{{}}') as ids from {from} where {condition}");
    let row: Row = diesel::sql_query(sql).get_result(&mut database.connect()).unwrap();
    row.ids.into_iter().collect()
}

#[test]
fn a_filter_leaves_what_it_says() {
    let (database, service) = service_with(&market());
    let newest = "(select distinct on (data_source, crypto_id, split_part(id, '-', 1)) * from cleaned_data
                    order by data_source, crypto_id, split_part(id, '-', 1), observed_at desc) newest";
    let all = FILTERS.iter().map(|(query, sql)| ((*query).to_owned(), "cleaned_data", sql));
    let latest = NEWEST.iter().map(|(query, sql)| (format!("latest=true{query}"), newest, sql));
    for (filter, from, condition) in all.chain(latest) {
        let expected = ids_where(&database, from, condition);
        for sort in ["created_at", "price_usd", "market_cap_usd"] {
            for order in ["asc", "desc"] {
                let query = format!("{filter}&sort_by={sort}&order={order}&limit=7");
                let rows = walk(&service, &query);
                let ids: BTreeSet<String> =
                    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
                assert_eq!(ids, expected, "{query}");
                assert_eq!(rows.len(), ids.len(), "{query}: a row twice");
                assert_eq!(service.json(&format!("/data?{query}"))["total"], ids.len(), "{query}");
            }
        }
    }
}

/// What the months of coins tell is rounded; what lies at a bound is not.
#[test]
fn totals_are_exact_at_the_bound() {
    // Neighbours that one float stands for, what no float can hold, and what is unknown.
    let prices = ["1.00000000000000000001", "1", "0.99999999999999999999", "1e320", "1e-330", "0", "null"];
    let mut sql = [SOURCES, &batch(1, "csv", "2024-03-01Z")].concat();
    for (number, price) in (1..).zip(prices) {
        sql += &coin(number, 3, &format!("coin-{number}"));
        for month in 1..=3 {
            sql += &observation(number, 1, &format!("2024-0{month}-01Z"), price, "null");
        }
    }
    let (database, service) = service_with(&(sql + SETTLE));
    let compare = |service: &Service, what: &str| {
        for bound in ["1", "1.00000000000000000001", "0.99999999999999999999", "0", "1e300", "1e-300"] {
            for (name, operator) in [("min", ">="), ("max", "<=")] {
                let path = format!("/data?{name}_price_usd={bound}&limit=1&fields=crypto_id");
                let expected = ids_where(&database, "cleaned_data", &format!("price_usd {operator} {bound}"));
                assert_eq!(service.json(&path)["total"], expected.len(), "{what}: {path}");
            }
        }
    };
    compare(&service, "counted");
    // While a month is loaded in bulk nothing is known of its coins.
    run(
        &database,
        "update observation_partitions set counted = false where month = '2024-02-01'; \
         delete from coin_months where month = '2024-02-01'",
    );
    compare(&Service::uncached(database.url()), "partly counted");
}

#[test]
fn the_order_is_the_same_whatever_reads_it() {
    let (_database, service) = service_with(&market());
    for sort in ["created_at", "price_usd", "market_cap_usd"] {
        for order in ["asc", "desc"] {
            let sorted = format!("sort_by={sort}&order={order}&limit=100");
            let everything = walk(&service, &sorted);
            let by_coins = walk(&service, &format!("crypto_id=coin-0,coin-1&{sorted}"));
            assert_eq!(by_coins, everything, "{sorted}");
            let bounded =
                walk(&service, &format!("crypto_id=coin-0,coin-1&from=2000-01-01T00:00:00Z&{sorted}"));
            assert_eq!(bounded, everything, "{sorted}");
        }
    }
}

#[test]
fn only_the_fields_asked_for_are_shown() {
    let (_database, service) = service_with(&market());
    let page = service.json("/data?fields=price_usd,id,symbol&limit=2");
    for row in page["data"].as_array().unwrap() {
        assert_eq!(row.as_object().unwrap().len(), 3, "{row}");
        assert!(row["id"].is_string() && row["symbol"].is_string() && !row["price_usd"].is_string());
    }
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = service.json(&format!("/data?limit=2&cursor={cursor}"));
    assert_eq!(
        next["data"][0].as_object().unwrap().len(),
        17,
        "fields are no part of what a cursor is tied to"
    );
}

#[test]
fn the_link_leads_to_the_next_page() {
    let (_database, service) = service_with(&market());
    let query =
        "source=csv,coingecko&symbol=Coin-1&from=2024-01-05T00:00:00.5Z&max_price_usd=3.5&fields=id&limit=3";
    let first = service.get(&format!("/data?{query}"));
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let link = first.header("link").unwrap().to_owned();
    let path = link.strip_prefix('<').unwrap().split_once('>').unwrap().0;
    assert_eq!(service.json(path), service.json(&format!("/data?{query}&cursor={cursor}")));
}

#[test]
fn one_query_has_one_tag_however_it_is_spelt() {
    let (_database, service) = service_with(&market());
    let tag = |query: &str| service.get(&format!("/data?{query}")).header("etag").unwrap().to_owned();
    assert_eq!(tag("source=csv,coingecko&symbol=a,B"), tag("symbol=b,A,a&source=coingecko,csv,csv"));
    assert_eq!(
        tag("crypto_id=a&from=2024-01-01T00:00:00Z"),
        tag("crypto_id=a&from=2024-01-01T02:00:00%2B02:00&latest=false")
    );
    assert_ne!(tag("latest=true"), tag("latest=false"));
}
