//! Queries put together at random: kept and computed answers are the same bytes, a walk and `total` are what the database
//! finds and counts, and every number served is the number stored.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use kasparro_testkit::database::TestDatabase;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::value::RawValue;

use crate::pages::market;
use crate::support::{Answer, Service, service_with};

/// A part of a query, and the same in SQL over `cleaned_data`.
type Part = Option<(String, String)>;

/// What narrows a query down, apart from the part that takes only the newest.
#[derive(Clone, Debug)]
struct Query {
    parts: Vec<Part>,
    latest: bool,
    sort: &'static str,
    order: &'static str,
    limit: u32,
}

impl Query {
    fn filter(&self) -> String {
        let latest = self.latest.then(|| "latest=true".to_owned());
        let parts = self.parts.iter().flatten().map(|(query, _)| query.clone());
        parts.chain(latest).map(|part| format!("{part}&")).collect()
    }

    fn path(&self) -> String {
        let Self { sort, order, limit, .. } = self;
        format!("/data?{}sort_by={sort}&order={order}&limit={limit}", self.filter())
    }

    fn sql(&self) -> String {
        let newest = "(select distinct on (split_part(id, '-', 1)) * from cleaned_data
                        order by split_part(id, '-', 1), observed_at desc) newest";
        let from = if self.latest { newest } else { "cleaned_data" };
        let parts: String = self.parts.iter().flatten().map(|(_, sql)| format!(" and {sql}")).collect();
        format!(
            "select id, price_usd::text as price_usd, market_cap_usd::text as market_cap_usd,
                    volume_24h_usd::text as volume_24h_usd
               from {from} where true{parts}"
        )
    }
}

fn chosen(parts: &'static [(&'static str, &'static str)]) -> impl Strategy<Value = Part> {
    let owned = |(query, sql): (&str, &str)| (query.to_owned(), sql.to_owned());
    prop_oneof![2 => Just(None), 1 => prop::sample::select(parts).prop_map(move |part| Some(owned(part)))]
}

/// A lower bound, an upper one, or both, of an amount.
fn bounds(field: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = Part> {
    let any = prop::option::of(0..values.len());
    (any.clone(), any).prop_map(move |(one, other)| {
        let (low, high) = match (one, other) {
            (Some(low), Some(high)) => (Some(low.min(high)), Some(low.max(high))),
            either => either,
        };
        let low = low.map(|at| (format!("min_{field}={}", values[at]), format!("{field} >= {}", values[at])));
        let high =
            high.map(|at| (format!("max_{field}={}", values[at]), format!("{field} <= {}", values[at])));
        let (queries, conditions): (Vec<_>, Vec<_>) = low.into_iter().chain(high).unzip();
        (!queries.is_empty()).then(|| (queries.join("&"), conditions.join(" and ")))
    })
}

fn queries() -> impl Strategy<Value = Query> {
    let parts = (
        chosen(&[
            ("source=csv", "data_source = 'csv'"),
            ("source=coingecko,csv", "data_source <> 'coinpaprika'"),
        ]),
        chosen(&[
            ("crypto_id=coin-0", "crypto_id = 'coin-0'"),
            ("crypto_id=coin-1,x", "crypto_id = 'coin-1'"),
        ]),
        chosen(&[("symbol=coin-1", "symbol = 'COIN-1'"), ("symbol=COIN-0,COIN-1", "true")]),
        chosen(&[
            ("from=2024-02-05T00:00:00Z", "observed_at >= '2024-02-05Z'"),
            ("to=2024-02-14T00:00:00Z", "observed_at <= '2024-02-14Z'"),
            (
                "from=2024-01-04T00:00:00Z&to=2024-03-06T00:00:00Z",
                "observed_at between '2024-01-04Z' and '2024-03-06Z'",
            ),
        ]),
        bounds("price_usd", &["0", "0.50", "1.5", "2.5", "3.50", "9"]),
        bounds("market_cap_usd", &["0", "1e20", "300000000000000000000", "9e20"]),
        bounds("volume_24h_usd", &["50", "150", "250.0"]),
    );
    let parts = parts.prop_map(|(a, b, c, d, e, f, g)| vec![a, b, c, d, e, f, g]);
    let sort = prop::sample::select(&["created_at", "price_usd", "market_cap_usd"][..]);
    let order = prop::sample::select(&["asc", "desc"][..]);
    (parts, prop::bool::weighted(0.3), sort, order, 5u32..=100)
        .prop_map(|(parts, latest, sort, order, limit)| Query { parts, latest, sort, order, limit })
}

/// Runs a test on queries that are the same each time, so that a failure is found again.
fn for_queries(count: u32, test: impl Fn(Query)) {
    let config = Config { cases: count, failure_persistence: None, ..Config::default() };
    let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng)
        .run(&queries(), |query| {
            test(query);
            Ok(())
        })
        .unwrap();
}

type Figures = BTreeMap<&'static str, Option<String>>;

const AMOUNTS: [&str; 3] = ["price_usd", "market_cap_usd", "volume_24h_usd"];

fn stored(database: &TestDatabase, query: &Query) -> BTreeMap<String, Figures> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        id: String,
        #[diesel(sql_type = Nullable<Text>)]
        price_usd: Option<String>,
        #[diesel(sql_type = Nullable<Text>)]
        market_cap_usd: Option<String>,
        #[diesel(sql_type = Nullable<Text>)]
        volume_24h_usd: Option<String>,
    }
    let rows: Vec<Row> = diesel::sql_query(query.sql()).load(&mut database.connect()).unwrap();
    let figures =
        |row: Row| AMOUNTS.into_iter().zip([row.price_usd, row.market_cap_usd, row.volume_24h_usd]).collect();
    rows.into_iter().map(|row| (row.id.clone(), figures(row))).collect()
}

#[derive(serde::Deserialize)]
struct Page<'a> {
    total: usize,
    #[serde(borrow)]
    data: Vec<BTreeMap<String, &'a RawValue>>,
    next_cursor: Option<String>,
}

/// Every row of a walk, with its figures as they stand in the bodies, and the total that each page told.
fn served(service: &Service, query: &Query) -> (BTreeMap<String, Figures>, Vec<usize>) {
    let (mut rows, mut totals) = (BTreeMap::new(), Vec::new());
    let mut path = query.path();
    loop {
        let answer = service.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let page: Page<'_> = serde_json::from_str(&answer.body).unwrap();
        totals.push(page.total);
        for row in page.data {
            let figure = |name| Some(row[name].get().to_owned()).filter(|text| text != "null");
            let id: String = serde_json::from_str(row["id"].get()).unwrap();
            let figures = AMOUNTS.into_iter().map(|name| (name, figure(name))).collect();
            assert!(rows.insert(id, figures).is_none(), "{path}: a row twice");
        }
        match page.next_cursor {
            Some(cursor) => path = format!("{}&cursor={cursor}", query.path()),
            None => return (rows, totals),
        }
    }
}

#[test]
fn a_walk_and_its_total_are_what_the_database_finds() {
    let (database, service) = service_with(&market());
    for_queries(96, |query| {
        let expected = stored(&database, &query);
        let (rows, totals) = served(&service, &query);
        assert_eq!(rows, expected, "{query:?}");
        assert!(totals.iter().all(|total| *total == expected.len()), "{totals:?} {query:?}");
    });
}

fn essence(answer: &Answer) -> (u16, &[u8], Vec<Option<&str>>) {
    let headers =
        ["etag", "x-data-version", "link", "content-type", "content-encoding", "cache-control", "vary"];
    (answer.status, &answer.bytes, headers.iter().map(|name| answer.header(name)).collect())
}

#[test]
fn kept_and_computed_answers_are_the_same_bytes() {
    let (database, kept) = service_with(&market());
    let computed = Service::uncached(database.url());
    kept.when_metrics("kasparro_data_version_known 1");
    for_queries(96, |query| {
        for (form, coding) in [("json", "identity"), ("csv", "gzip"), ("ndjson", "zstd"), ("json", "br")] {
            let path = format!("{}&format={form}", query.path());
            let get = |service: &Service| service.request("GET", &path, &[("Accept-Encoding", coding)]);
            let expected = get(&computed);
            for answer in [get(&kept), get(&kept)] {
                assert_eq!(essence(&answer), essence(&expected), "{path} {coding}");
            }
        }
    });
}
