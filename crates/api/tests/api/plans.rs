//! The plans that the database makes: no page reads the whole table.

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use kasparro_core::Decimal;
use kasparro_core::store::page::{self, AmountColumn, Bounds, Order, PageQuery, Scope, Selection, Sort};
use kasparro_testkit::database::TestDatabase;

use crate::support::{SETTLE, SOURCES, Service, batch, observation, run};

/// Every partition is full, so that reading it whole is never cheaper.
pub(crate) const MANY: &str = "
    insert into etl_batches (run_id, source, number, lease_epoch, raw_api_id, origin, extracted, loaded, restated,
                             unchanged, duplicate, rejected, observed_from, observed_to, created_at)
    select 1, s.name, n, 1, 1, 'test', 100, 100, 0, 0, 0, 0, day, day + interval '1 hour', day + interval '2 hours'
      from data_sources s, generate_series(0, 119) n
     cross join lateral (select timestamptz '2024-01-01Z' + n * interval '1 day' as day) d;
    insert into coins (coin_id, source_id, crypto_id) overriding system value
    select n, 1 + n % 3, 'coin-' || n / 3 from generate_series(0, 299) n;
    insert into coin_labels (label_id, coin_id) overriding system value select coin_id, coin_id from coins;
    insert into observations (observed_at, batch_id, coin_id, label_id, raw_position, source_id, price_usd, market_cap_usd)
    select b.observed_from + c.coin_id * interval '1 second', b.batch_id, c.coin_id, c.coin_id, 0, c.source_id,
           nullif((c.coin_id * 7919 + b.batch_id * 104729) % 1000, 13), nullif((c.coin_id * 31 + b.batch_id) % 10, 0)
      from etl_batches b join data_sources s on s.name = b.source join coins c using (source_id);
    analyze;
";

/// A connection that plans as those of the service do.
fn generic(database: &TestDatabase) -> PgConnection {
    let mut connection = database.connect();
    connection.batch_execute("set plan_cache_mode = force_generic_plan").unwrap();
    connection
}

/// How often a partition was read from end to end, by what this session has done as well.
fn whole_reads(connection: &mut PgConnection) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        scans: i64,
    }
    connection.batch_execute("select pg_stat_force_next_flush()").unwrap();
    let sql =
        "select sum(seq_scan)::bigint as scans from pg_stat_user_tables where relname like 'observations%'";
    sql_query(sql).get_result::<Row>(connection).unwrap().scans
}

fn load(connection: &mut PgConnection, query: &PageQuery) -> page::Page {
    let before = whole_reads(connection);
    let page = page::load(connection, query).unwrap();
    assert_eq!(whole_reads(connection) - before, 0, "{query:?}");
    page
}

#[test]
fn no_page_reads_the_whole_table() {
    let database = TestDatabase::new();
    run(&database, SOURCES);
    run(&database, MANY);
    let connection = &mut generic(&database);
    let scopes = [
        Scope::All(vec![1, 2, 3]),
        Scope::Sources { ids: vec![2], names: vec!["coinpaprika".to_owned()] },
        Scope::Sources { ids: vec![1, 3], names: vec!["coingecko".to_owned(), "csv".to_owned()] },
        Scope::Coins(vec![30, 31, 32]),
    ];
    let sorts = [
        Sort::Created(None),
        Sort::Amount(AmountColumn::PriceUsd, None),
        Sort::Amount(AmountColumn::MarketCapUsd, None),
    ];
    for scope in &scopes {
        for sort in &sorts {
            for order in [Order::Asc, Order::Desc] {
                let selection = Selection { scope: scope.clone(), latest: false, bounds: None };
                let mut query = PageQuery {
                    few: selection.is_few(),
                    selection,
                    sort: sort.clone(),
                    span: None,
                    order,
                    offset: 0,
                    limit: 10,
                };
                for _ in ["first", "second", "third"] {
                    query.sort = load(connection, &query).next.unwrap();
                }
                query.offset = 20;
                load(connection, &query);
            }
        }
    }
}

/// What is bounded is found by an index when it is little, and walked in order when it is much.
#[test]
fn no_bounded_page_reads_the_whole_table() {
    let database = TestDatabase::new();
    run(&database, SOURCES);
    run(&database, MANY);
    let connection = &mut generic(&database);
    let time = |text: &str| Some(text.parse().unwrap());
    let number = |text: &str| Some(Decimal::parse(text).unwrap());
    let little = [
        Bounds { price_usd: [number("990"), None], ..Bounds::default() },
        Bounds { market_cap_usd: [None, number("1")], price_usd: [None, number("20")], ..Bounds::default() },
        Bounds {
            observed_at: [time("2024-02-03T00:00:00Z"), time("2024-02-03T00:01:00Z")],
            ..Bounds::default()
        },
    ];
    let much = [
        Bounds { price_usd: [number("1"), None], ..Bounds::default() },
        Bounds { price_usd: [number("2"), number("900")], ..Bounds::default() },
        Bounds { observed_at: [time("2024-01-03T00:00:00Z"), None], ..Bounds::default() },
    ];
    let cases = little.iter().map(|bounds| (bounds, true)).chain(much.iter().map(|bounds| (bounds, false)));
    for (bounds, few) in cases {
        for sort in [Sort::Created(None), Sort::Amount(AmountColumn::MarketCapUsd, None)] {
            for order in [Order::Desc, Order::Asc] {
                let scope = Scope::All(vec![1, 2, 3]);
                let selection = Selection { scope, latest: false, bounds: Some(bounds.clone()) };
                let mut query =
                    PageQuery { selection, few, sort: sort.clone(), span: None, order, offset: 0, limit: 10 };
                let page = load(connection, &query);
                assert!(!page.rows.is_empty(), "{query:?}");
                if matches!(sort, Sort::Amount(..)) && !few {
                    let ids = |page: &page::Page| -> Vec<_> {
                        page.rows.iter().map(|row| (row.coin_id, row.observed_at)).collect()
                    };
                    query.span = page.span.clone();
                    let again = load(connection, &query);
                    assert_eq!(ids(&again), ids(&page), "{query:?}");
                    assert!(again.next.is_some() && again.span == page.span, "{query:?}");
                }
            }
        }
    }
}

/// Where a page lies is remembered for a version of the data, and no longer.
#[test]
fn where_a_page_lies_is_found_out_once_for_a_version() {
    let database = TestDatabase::new();
    run(&database, &[SOURCES, MANY, SETTLE].concat());
    let service = Service::uncached(database.url());
    for (order, better) in [("desc", "5.5"), ("asc", "2.5")] {
        let path = format!(
            "/data?min_market_cap_usd=2.2&max_market_cap_usd=5.7&min_price_usd=20&sort_by=market_cap_usd&order={order}"
        );
        let first = service.json(&path);
        assert!(first["total"].as_i64().unwrap() > page::FEW_ROWS);
        let behind = service.json(&format!("{path}&offset=3"));
        assert_eq!(behind["data"].as_array().unwrap()[..7], first["data"].as_array().unwrap()[3..]);
        for _ in 0..3 {
            assert_eq!(service.json(&path), first, "{path}");
            assert_eq!(service.json(&format!("{path}&offset=3")), behind, "{path}");
        }
        // Pruned, before anybody has learnt of it: the number of no batch tells.
        let gone = first["data"][4]["id"].as_str().unwrap();
        run(
            &database,
            &format!(
                "delete from observations where coin_id || '-' || (extract(epoch from observed_at) * 1000000)::bigint = '{gone}'"
            ),
        );
        let pruned = service.json(&path)["data"].take();
        assert_eq!(pruned.as_array().unwrap().len(), 10, "{path}");
        assert_eq!(pruned[4], first["data"][5], "{path}");
        run(&database, SETTLE);
        let (number, coin) = if order == "desc" { (9_001, 2) } else { (9_002, 5) };
        let more = [
            batch(number, "csv", &format!("2024-06-0{}Z", number - 9_000)),
            observation(coin, number, "2024-04-30T23:00:00Z", "500", better),
            SETTLE.to_owned(),
        ];
        run(&database, &more.concat());
        let now = service.json(&path);
        assert_eq!(now["data"][0]["market_cap_usd"].to_string(), better, "{path}");
        assert_eq!(now["total"], first["total"], "{path}: one gone, one new");
        assert_eq!(service.json(&path)["data"], now["data"], "{path}");
    }
}

#[test]
fn a_whole_read_is_seen() {
    let database = TestDatabase::new();
    run(&database, SOURCES);
    run(&database, MANY);
    let connection = &mut generic(&database);
    let before = whole_reads(connection);
    connection.batch_execute("select max(change_24h_percent) from observations").unwrap();
    assert_ne!(whole_reads(connection), before);
}
