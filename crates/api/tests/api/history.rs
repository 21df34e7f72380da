//! `GET /assets/{id}/history`.

use kasparro_core::store::history::{self, Place, Range};
use kasparro_core::store::page::Order;
use kasparro_testkit::database::TestDatabase;
use serde_json::{Value, json};

use crate::assets::asset;
use crate::support::{SETTLE, SOURCES, Service, batch, coin, observation, run, service_with};

/// Bitcoin of two sources on two days, with hours without a price, and one value that was corrected.
fn market() -> String {
    [
        SOURCES,
        &batch(1, "coingecko", "2024-03-01 12:00Z"),
        &batch(2, "coinpaprika", "2024-03-01 12:05Z"),
        &batch(3, "coingecko", "2024-03-02 12:00Z"),
        &coin(1, 1, "bitcoin"),
        &coin(2, 2, "btc-bitcoin"),
        &coin(3, 1, "other"),
        &observation(1, 1, "2024-03-01 10:00Z", "100", "null"),
        &observation(1, 1, "2024-03-01 10:59:59.999999Z", "110.000000000000000000001", "null"),
        &observation(2, 2, "2024-03-01 10:30Z", "90", "null"),
        &observation(2, 2, "2024-03-01 10:40Z", "null", "5"),
        &observation(1, 1, "2024-03-01 11:00Z", "105", "null"),
        &observation(2, 2, "2024-03-01 15:10Z", "120", "null"),
        // Corrected by batch 3: it was 130 before.
        &observation(1, 3, "2024-03-02 03:00Z", "131", "null"),
        &observation(3, 1, "2024-03-01 10:00Z", "7", "null"),
        SETTLE,
        "insert into observation_revisions (coin_id, observed_at, batch_id, superseded_by, label_id, raw_position, source_id, price_usd)
         values (1, '2024-03-02 03:00Z', 1, 3, 1, 0, 1, 130);",
        &asset(1, "bitcoin", "Bitcoin", "BTC", &[1, 2]),
        &asset(2, "other", "Other", "O", &[3]),
    ]
    .concat()
}

fn walk(service: &Service, query: &str) -> Vec<Value> {
    let (mut rows, mut path) = (Vec::new(), format!("/assets/bitcoin/history?{query}"));
    loop {
        let answer = service.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let page = answer.json();
        rows.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { return rows };
        path = format!("/assets/bitcoin/history?{query}&cursor={cursor}");
        assert!(rows.len() < 1000, "it does not end: {path}");
    }
}

/// Start, samples and close of each entry.
fn shape(rows: &[Value]) -> Vec<(String, i64, Value)> {
    let text = |row: &Value| row["start"].as_str().unwrap().trim_end_matches(":00:00Z").to_owned();
    rows.iter().map(|row| (text(row), row["samples"].as_i64().unwrap(), row["close"].clone())).collect()
}

#[test]
fn observations_come_in_the_order_of_time_by_page() {
    let (_database, service) = service_with(&market());
    let all = walk(&service, "limit=100");
    let times: Vec<&str> = all.iter().map(|row| row["observed_at"].as_str().unwrap()).collect();
    assert_eq!(times.len(), 7);
    assert!(times.windows(2).all(|pair| pair[0] > pair[1]), "{times:?}");
    for limit in [1, 2, 3] {
        assert_eq!(walk(&service, &format!("limit={limit}")), all, "{limit}");
        let mut forward = walk(&service, &format!("order=asc&limit={limit}"));
        forward.reverse();
        assert_eq!(forward, all, "{limit}");
    }
    let some = walk(&service, "from=2024-03-01T10:30:00Z&to=2024-03-01T11:00:00Z");
    assert_eq!(some.len(), 4, "both ends belong to it: {some:?}");
    let one = walk(&service, "source=coinpaprika&limit=2");
    assert!(one.len() == 3 && one.iter().all(|row| row["data_source"] == "coinpaprika"));
    assert_eq!(walk(&service, "source=csv"), Vec::<Value>::new());
    let by_source_id = service.json("/assets/btc-bitcoin/history");
    assert_eq!(by_source_id, service.json("/assets/bitcoin/history"));
    let cursor = service.json("/assets/bitcoin/history?limit=2")["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(service.get(&format!("/assets/btc-bitcoin/history?limit=2&cursor={cursor}")).status, 200);
    assert_eq!(service.get(&format!("/assets/other/history?limit=2&cursor={cursor}")).status, 422);
}

#[test]
fn candles_are_exact_and_gaps_are_gaps() {
    let (_database, service) = service_with(&market());
    let answer = service.get("/assets/bitcoin/history?interval=1h&order=asc&limit=3");
    assert!(answer.body.contains(r#""open":100,"high":110.000000000000000000001,"low":90,"close":110.000000000000000000001,"samples":3,"sources":["coingecko","coinpaprika"]"#), "{}", answer.body);
    let expected = [
        ("2024-03-01T10".to_owned(), 3, json!(110.0)),
        ("2024-03-01T11".to_owned(), 1, json!(105)),
        ("2024-03-01T12".to_owned(), 0, Value::Null),
        ("2024-03-01T15".to_owned(), 1, json!(120)),
        ("2024-03-01T16".to_owned(), 0, Value::Null),
        ("2024-03-02T03".to_owned(), 1, json!(131)),
    ];
    for limit in [1, 2, 3, 6, 100] {
        let forward = walk(&service, &format!("interval=1h&order=asc&limit={limit}"));
        assert_eq!(shape(&forward), expected, "{limit}");
        assert_eq!(forward[2]["end"], "2024-03-01T15:00:00Z");
        let mut backward = walk(&service, &format!("interval=1h&limit={limit}"));
        backward.reverse();
        assert_eq!(backward, forward, "{limit}");
    }
    // The ends that were asked for are filled up with gaps.
    let range = "from=2024-02-28T00:30:00Z&to=2024-03-03T12:00:00Z";
    for limit in [1, 2, 100] {
        let days = walk(&service, &format!("interval=1d&order=asc&limit={limit}&{range}"));
        let starts: Vec<&str> = days.iter().map(|row| row["start"].as_str().unwrap()).collect();
        assert_eq!(
            starts,
            ["2024-02-28T00:00:00Z", "2024-03-01T00:00:00Z", "2024-03-02T00:00:00Z", "2024-03-03T00:00:00Z"]
        );
        assert_eq!((&days[0]["samples"], &days[3]["end"]), (&json!(0), &json!("2024-03-04T00:00:00Z")));
        let mut backward = walk(&service, &format!("interval=1d&limit={limit}&{range}"));
        backward.reverse();
        assert_eq!(backward, days, "{limit}");
    }
    // An open end is often written so; years have four digits.
    for order in ["asc", "desc"] {
        let open = walk(&service, &format!("interval=1d&order={order}&to=9999-12-31T23:59:59Z"));
        let latest = open.iter().map(|row| row["end"].as_str().unwrap()).max().unwrap();
        assert_eq!(latest, "9999-12-31T00:00:00Z", "{order}");
    }
    let nothing = walk(&service, "interval=5m&from=2024-03-01T12:00:00Z&to=2024-03-01T12:59:00Z");
    assert_eq!((nothing.len(), &nothing[0]["samples"]), (1, &json!(0)));
    let five = walk(&service, "interval=5m&source=coingecko&to=2024-03-01T11:00:00Z&order=asc");
    assert_eq!(five.iter().map(|row| row["samples"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 0, 1, 1]);
}

#[test]
fn as_of_shows_what_was_known_then() {
    let (_database, service) = service_with(&market());
    let prices = |query: &str| -> Vec<Value> {
        walk(&service, &format!("order=asc&{query}")).iter().map(|row| row["price_usd"].clone()).collect()
    };
    assert_eq!(prices("as_of=2024-03-01T11:00:00Z"), Vec::<Value>::new());
    // Batch 1 was written at 12:00; what batch 3 corrected had another value then.
    assert_eq!(prices("as_of=2024-03-01T12:00:00Z"), [json!(100), json!(110.0), json!(105), json!(130)]);
    assert_eq!(prices("as_of=2024-03-01T12:05:00Z").len(), 7);
    assert_eq!(prices("as_of=2024-03-02T12:00:00Z").last(), Some(&json!(131)));
    assert_eq!(prices("as_of=2024-03-02T12:00:00Z"), prices(""));
    let then = walk(&service, "interval=1d&as_of=2024-03-01T13:00:00Z");
    assert_eq!((&then[0]["close"], then.len()), (&json!(130), 2));
    assert_eq!(walk(&service, "interval=1d&as_of=2024-03-01T11:00:00Z"), Vec::<Value>::new());
}

#[test]
fn what_is_not_allowed_is_refused() {
    let (_database, service) = service_with(&market());
    for (query, says) in [
        ("interval=2h", "is not allowed"),
        ("from=2024-03-02T00:00:00Z&to=2024-03-01T00:00:00Z", "it lies above `to`"),
        ("asof=2024-03-02T00:00:00Z", "did you mean `as_of`?"),
        ("source=coinpaprica", "did you mean `coinpaprika`?"),
        ("cursor=abc", "not a cursor of this query"),
        ("limit=501", "limit"),
    ] {
        let problem = service.get(&format!("/assets/bitcoin/history?{query}")).problem();
        assert!(problem["detail"].as_str().unwrap().contains(says), "{query}: {problem}");
    }
    assert_eq!(service.get("/assets/nobody/history").problem()["code"], "unknown_asset");
}

#[test]
fn no_history_reads_the_whole_table() {
    let database = TestDatabase::new();
    run(&database, SOURCES);
    run(&database, crate::plans::MANY);
    let day = |day: u32| {
        Some(chrono::DateTime::from_timestamp(1_704_067_200 + i64::from(day) * 86_400, 0).unwrap())
    };
    for as_of in [None, day(60)] {
        for order in [Order::Asc, Order::Desc] {
            for behind in [None, day(40).map(|observed_at| Place { observed_at, coin_id: 30 })] {
                let range = Range {
                    coins: vec![(30, 1), (31, 2), (32, 3)],
                    from: day(30),
                    before: day(31),
                    as_of,
                    priced: false,
                };
                for plan in history::explain(&mut database.connect(), &range, order, behind).unwrap() {
                    let plan = plan.join("\n");
                    assert!(
                        !plan.contains("Seq Scan on observations_"),
                        "{range:?} {order:?} {behind:?}\n{plan}"
                    );
                }
            }
        }
    }
}
