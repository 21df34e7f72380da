//! `GET /runs`, `/runs/{id}` and `/runs/compare`.

use kasparro_core::store::run_log::{self, Wanted};
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::simulator::{Route, Simulator, Universe};
use serde_json::{Value, json};

use crate::lineage::{etl, succeed};
use crate::support::{SOURCES, Service, run, service_with};

/// Launches of every outcome, of one source or two.
const RUNS: &str = "
    insert into etl_runs (source, status, success, records_processed, started_at, ended_at, program_version, error_message)
    select case n % 3 when 0 then 'csv' when 1 then 'coinpaprika' else 'coinpaprika,csv' end,
           case n % 4 when 0 then 'failed' when 1 then 'partial' else 'succeeded' end, n % 4 > 1, n,
           timestamptz '2024-03-02Z' + n * interval '1 hour', timestamptz '2024-03-02Z' + n * interval '1 hour' + interval '1 second',
           'test', case when n % 4 < 2 then 'coinpaprika: it is away' end
      from generate_series(1, 40) n;
    insert into etl_run_sources (run_id, source, status, ended_at, extracted, loaded)
    select run_id, name, 'succeeded', now(), 3, 3 from etl_runs, unnest(string_to_array(source, ',')) name
     where program_version = 'test' and run_id > 1;
    insert into etl_runs (source, program_version) values ('coingecko', 'test');
";

fn walk(service: &Service, query: &str) -> Vec<Value> {
    let (mut rows, mut path) = (Vec::new(), format!("/runs?{query}"));
    loop {
        let answer = service.get(&path);
        let page = answer.json();
        rows.extend(page["data"].as_array().unwrap_or_else(|| panic!("{path}: {page}")).iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { return rows };
        let link = answer.header("link").unwrap();
        assert!(link.contains(cursor) && link.ends_with("rel=\"next\""), "{link}");
        path = format!("/runs?{query}&cursor={cursor}");
    }
}

#[test]
fn launches_are_listed_newest_first_and_filtered() {
    let (_database, service) = service_with(&[SOURCES, RUNS].concat());
    let all = walk(&service, "limit=7");
    let numbers: Vec<u64> = all.iter().map(|run| run["run_id"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=42).rev().collect::<Vec<u64>>());
    assert_eq!(all[0]["status"], "running");
    assert_eq!([&all[0]["success"], &all[0]["ended_at"], &all[0]["duration_seconds"]], [&Value::Null; 3]);
    assert_eq!(all[1]["duration_seconds"], 1.0);
    let of = |run: &Value, name: &str| run["sources"].as_array().unwrap().iter().any(|found| found == name);
    for (query, keep) in [
        ("status=failed", Box::new(|run: &Value| run["status"] == "failed") as Box<dyn Fn(&Value) -> bool>),
        ("status=partial,failed", Box::new(|run| run["success"] == false)),
        ("status=running", Box::new(|run| run["status"] == "running")),
        // The launch of the fixtures and the one that runs have no source on record.
        ("source=csv", Box::new(|run| of(run, "csv") && run["run_id"] != "1")),
        ("source=csv,coinpaprika", Box::new(|run| run["run_id"] != "1" && run["run_id"] != "42")),
        ("source=csv&status=failed", Box::new(|run| of(run, "csv") && run["status"] == "failed")),
        ("source=coingecko", Box::new(|_| false)),
    ] {
        let expected: Vec<&Value> = all.iter().filter(|run| keep(run)).collect();
        assert_eq!(
            walk(&service, &format!("{query}&limit=3")).iter().collect::<Vec<_>>(),
            expected,
            "{query}"
        );
    }
}

#[test]
fn what_is_not_allowed_is_refused() {
    let (_database, service) = service_with(&[SOURCES, RUNS].concat());
    for (path, says) in [
        ("/runs?status=fail", "did you mean `failed`?"),
        ("/runs?source=coinpaprica", "did you mean `coinpaprika`?"),
        ("/runs?statuss=failed", "did you mean `status`?"),
        ("/runs?limit=101", "limit"),
        ("/runs?cursor=abc", "it is not a cursor of this query"),
        ("/runs/compare?a=1", "b: it is missing"),
        ("/runs/compare?a=1&b=2&min_z=0", "min_z"),
        ("/runs/compare?a=1&b=1", "b: it is the same launch as `a`"),
        ("/runs/1?cursor=abc", "it is not a cursor of this query"),
        ("/runs/123456789012345678901", "too long"),
    ] {
        let answer = service.get(path);
        assert_eq!(answer.status, 422, "{path}: {}", answer.body);
        assert!(answer.problem()["detail"].as_str().unwrap().contains(says), "{path}: {}", answer.body);
    }
    let cursor = service.json("/runs?limit=2")["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(service.get(&format!("/runs?limit=2&status=failed&cursor={cursor}")).status, 422);
    for path in ["/runs/99", "/runs/x", "/runs/01", "/runs/compare?a=1&b=99", "/runs/compare?a=x&b=1"] {
        assert_eq!(service.get(path).problem()["code"], "unknown_run", "{path}");
    }
}

#[test]
fn a_page_of_launches_is_read_along_an_index() {
    let database = TestDatabase::new();
    run(&database, SOURCES);
    run(
        &database,
        "insert into etl_runs (source, status, success, started_at, ended_at, program_version)
         select 'csv', case when n % 100 = 0 then 'failed' else 'succeeded' end, true, now(), now(), 'test'
           from generate_series(1, 20000) n;
         insert into etl_run_sources (run_id, source, status, ended_at)
         select run_id, 'csv', 'succeeded', now() from etl_runs where run_id > 1;
         analyze;",
    );
    let some = |text: &str| Some(vec![text.to_owned()]);
    for (statuses, sources) in
        [(None, None), (some("failed"), None), (None, some("csv")), (some("succeeded"), some("csv"))]
    {
        let wanted = Wanted { statuses, sources, before: Some(15_000), limit: 21 };
        let plan = run_log::explain(&mut database.connect(), &wanted).unwrap().join("\n");
        assert!(!plan.contains("Seq Scan"), "{wanted:?}\n{plan}");
    }
}

#[test]
fn a_launch_has_its_sources_and_its_batches_by_page() {
    let (database, simulator) = (TestDatabase::new(), Simulator::start(Universe::new(1).coins(600)));
    // One source is away.
    let output = etl(&database, "coingecko,coinpaprika")
        .variable("COINGECKO_BASE_URL", simulator.coingecko_base_url())
        .variable("COINPAPRIKA_BASE_URL", "http://127.0.0.1:9/")
        .variable("ETL_RETRY_ATTEMPTS", "1")
        .run();
    assert_eq!(output.code, 69, "{}", output.stderr);
    let service = Service::on(database.url());
    let body = service.json("/runs/1");
    assert_eq!((&body["run"]["status"], &body["run"]["success"]), (&json!("partial"), &json!(false)));
    assert!(body["run"]["error_message"].as_str().unwrap().starts_with("coinpaprika"), "{body}");
    let [gecko, paprika] = [&body["sources"][0], &body["sources"][1]];
    assert_eq!((&gecko["source"], &gecko["status"]), (&json!("coingecko"), &json!("succeeded")));
    assert_eq!((&gecko["batches"], &gecko["records"]["extracted"]), (&json!(3), &json!(600)));
    assert_eq!((&paprika["status"], &paprika["failure_kind"]), (&json!("failed"), &json!("unavailable")));
    assert!(gecko["duration_seconds"].as_f64().unwrap() > 0.0);
    let all = body["batches"].as_array().unwrap();
    assert_eq!((all.len(), &body["next_cursor"]), (3, &Value::Null));
    let sum: i64 = all.iter().map(|batch| batch["records"]["loaded"].as_i64().unwrap()).sum();
    assert_eq!(sum, gecko["records"]["loaded"].as_i64().unwrap());
    let first = service.json("/runs/1?limit=2");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = service.json(&format!("/runs/1?limit=2&cursor={cursor}"));
    let paged: Vec<&Value> =
        [&first, &second].iter().flat_map(|p| p["batches"].as_array().unwrap()).collect();
    assert_eq!(paged, all.iter().collect::<Vec<_>>());
    assert_eq!(service.json("/runs/1?limit=0")["batches"], json!([]));
}

/// A listing of coins by id and price, all said at one minute of a day.
fn listing(coins: &[(&str, &str)], minute: u32) -> String {
    let one = |(id, price): &(&str, &str)| {
        format!(
            r#"{{"id":"{id}","name":"{id}","symbol":"{id}","rank":7,"last_updated":"2026-01-01T{:02}:{:02}:00Z","quotes":{{"USD":{{"price":{price}}}}}}}"#,
            minute / 60,
            minute % 60
        )
    };
    format!("[{}]", coins.iter().map(one).collect::<Vec<_>>().join(","))
}

#[test]
fn two_launches_are_compared_by_value() {
    let (database, simulator) = (TestDatabase::new(), Simulator::start(Universe::new(1)));
    let load = |coins: &[(&str, &str)], minute| {
        simulator.serve_body(Route::CoinpaprikaTickers, listing(coins, minute));
        succeed(
            etl(&database, "coinpaprika").variable("COINPAPRIKA_BASE_URL", simulator.coinpaprika_base_url()),
        );
    };
    // The habits: one is calm, one is wild, one never moves.
    for n in 0..12_u32 {
        let (calm, wild) = ((100 + n * n % 7).to_string(), if n % 2 == 0 { "10" } else { "13" });
        load(&[("calm", &calm), ("wild", wild), ("still", "1.00"), ("old", "5")], n);
    }
    // 12 to 13: calm and wild move by a fifth, still moves for the first time, one goes, one comes; `same` says nothing new.
    load(&[("calm", "101"), ("wild", "10"), ("still", "1"), ("old", "5"), ("same", "3")], 12);
    let service = Service::on(database.url());
    simulator.serve_body(
        Route::CoinpaprikaTickers,
        listing(&[("calm", "121.0000000000000000001"), ("wild", "12"), ("still", "0.99"), ("new", "2")], 13)
            .replace(']', &format!(",{}]", &listing(&[("same", "3")], 12).trim_matches(['[', ']']))),
    );
    succeed(etl(&database, "coinpaprika").variable("COINPAPRIKA_BASE_URL", simulator.coinpaprika_base_url()));
    let answer = service.get("/runs/compare?a=13&b=14");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = answer.json();
    let ids = |list: &Value| -> Vec<String> {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["crypto_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!((ids(&body["added"]), ids(&body["gone"])), (vec!["new".to_owned()], vec!["old".to_owned()]));
    assert_eq!(ids(&body["moved"]), ["still", "calm"], "{body}");
    assert_eq!(body["moved"]["items"][0]["robust_z"], Value::Null);
    let z = body["moved"]["items"][1]["robust_z"].as_f64().unwrap();
    assert!(z > 5.0 && z < 100.0, "{z}");
    assert!(answer.body.contains(r#""to_price_usd":121.0000000000000000001"#), "{}", answer.body);
    assert_eq!((&body["moved"]["without_habit"], &body["moved"]["total"]), (&json!(0), &json!(2)));
    assert_eq!(body["difference"]["records_processed"], 0);
    assert_eq!(body["sources"][0]["is_compared"], true);
    // The other way round what was added is gone, and a wider bound lets fewer through.
    let back = service.json("/runs/compare?a=14&b=13");
    assert_eq!((ids(&back["added"]), ids(&back["gone"])), (vec!["old".to_owned()], vec!["new".to_owned()]));
    assert_eq!(ids(&service.json("/runs/compare?a=13&b=14&min_z=100")["moved"]), ["still"]);
    // Between early launches there is no habit yet.
    let early = service.json("/runs/compare?a=3&b=4");
    assert_eq!((&early["moved"]["total"], &early["moved"]["without_habit"]), (&json!(0), &json!(2)));
}

#[test]
fn a_source_that_failed_is_not_taken_for_one_without_coins() {
    let (database, simulator) = (TestDatabase::new(), Simulator::start(Universe::new(1).coins(20)));
    let base = simulator.coinpaprika_base_url();
    succeed(etl(&database, "coinpaprika").variable("COINPAPRIKA_BASE_URL", &base));
    etl(&database, "coinpaprika")
        .variable("COINPAPRIKA_BASE_URL", "http://127.0.0.1:9/")
        .variable("ETL_RETRY_ATTEMPTS", "1")
        .run();
    let service = Service::on(database.url());
    let body = service.json("/runs/compare?a=1&b=2");
    assert_eq!((&body["gone"]["total"], &body["sources"][0]["is_compared"]), (&json!(0), &json!(false)));
    assert_eq!(body["sources"][0]["why_not"], "the second launch has not loaded it to the end");
}
