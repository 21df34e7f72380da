//! What a run, the log and the listings tell, for people and for programs.

use kasparro_testkit::process::Output;
use kasparro_testkit::simulator::{Fault, Route};
use serde_json::Value;

use crate::support::{World, check_invariants, contents, number};

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", output.stdout))
}

#[test]
fn the_report_is_one_object_also_when_a_source_fails() {
    let world = World::new();
    world.simulator.fault(Route::CoingeckoMarkets, Fault::status(403)).always();
    let output = world.etl().arguments(["run", "--json"]).run();
    assert_eq!(output.code, 69);
    let report = json(&output);
    assert_eq!((&report["status"], &report["exit_code"]), (&"partial".into(), &69.into()), "{report}");
    assert_eq!((&report["success"], &report["dry_run"]), (&false.into(), &false.into()));
    assert_eq!(report["run_id"], number(&mut world.database.connect(), "select max(run_id) from etl_runs"));
    let source =
        |name: &str| report["sources"].as_array().unwrap().iter().find(|s| s["source"] == name).unwrap();
    assert_eq!(
        (&source("coinpaprika")["loaded"], &source("coinpaprika")["failure"]),
        (&40.into(), &Value::Null)
    );
    assert_eq!(source("coingecko")["failure"]["kind"], "unavailable");
    assert!(source("coingecko")["failure"]["message"].as_str().unwrap().contains("403"));
}

#[test]
fn a_launch_that_fails_at_once_has_a_report_too() {
    let output = crate::support::etl("").arguments(["run", "--json"]).run();
    assert_eq!(output.code, 78);
    let report = json(&output);
    assert_eq!((&report["run_id"], &report["exit_code"]), (&Value::Null, &78.into()));
    assert!(report["error"].as_str().unwrap().contains("DATABASE_URL"), "{report}");
}

#[test]
fn every_log_line_is_an_object_with_run_and_source() {
    let world = World::new();
    world.simulator.fault(Route::CoingeckoMarkets, Fault::status(500).and(Fault::body("\"\n\u{1}"))).once();
    let output = world.etl().variable("LOG_FORMAT", "json").variable("RUST_LOG", "trace").run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let lines: Vec<Value> = output.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let retry = lines.iter().find(|line| line["msg"].as_str().unwrap().contains("trying again")).unwrap();
    assert_eq!((&retry["source"], &retry["level"]), (&"coingecko".into(), &"warn".into()), "{retry}");
    assert_eq!(retry["run_id"], number(&mut world.database.connect(), "select max(run_id) from etl_runs"));

    let report = json(&output);
    assert!(report["summary"].as_str().unwrap().contains("80 records: 80 new"), "{report}");

    let wrong = world.etl().arguments(["--log-format", "xml"]).run();
    assert_eq!(wrong.code, 78);
    assert!(wrong.stderr.contains("LOG_FORMAT"), "{}", wrong.stderr);
}

#[test]
fn a_dry_run_says_what_would_be_written_and_leaves_nothing() {
    let world = World::new();
    let dry = || {
        let report = json(&world.etl().arguments(["run", "--dry-run", "--json"]).run());
        assert_eq!(
            (&report["dry_run"], &report["run_id"], &report["success"]),
            (&true.into(), &Value::Null, &true.into())
        );
        let of = |name: &str| -> i64 {
            let tallies: Vec<_> =
                report["sources"].as_array().unwrap().iter().map(|s| s[name].as_i64().unwrap()).collect();
            tallies.iter().sum()
        };
        (of("extracted"), of("loaded"), of("unchanged"))
    };
    assert_eq!(dry(), (80, 80, 0));
    let mut connection = world.database.connect();
    for table in [
        "etl_runs",
        "etl_run_sources",
        "etl_lease",
        "etl_checkpoints",
        "raw_api_data",
        "etl_batches",
        "coins",
        "observations",
        "observation_partitions",
        "coin_latest",
        "coin_months",
        "rejects",
        "data_sources",
    ] {
        assert_eq!(number(&mut connection, &format!("select count(*) from {table}")), 0, "{table}");
    }
    world.run("coinpaprika,coingecko");
    let before = contents(&mut connection);
    let lease = "select sum(epoch) from etl_lease";
    let epochs = number(&mut connection, lease);
    let (extracted, loaded, unchanged) = dry();
    assert_eq!((extracted, loaded), (80, 0), "{unchanged} unchanged");
    assert_eq!(contents(&mut connection), before);
    assert_eq!(number(&mut connection, lease), epochs);
    check_invariants(&mut connection);
    let text = world.etl().arguments(["run", "--dry-run"]).run().stdout;
    assert!(text.contains("nothing was written"), "{text}");
}

#[test]
fn a_dry_run_leaves_a_source_to_the_run_that_is_at_it() {
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    let first = world.etl().arguments(["run", "--sources", "coinpaprika"]).spawn();
    let limit = std::time::Duration::from_secs(60);
    assert!(world.simulator.wait_for_requests(Route::CoinpaprikaTickers, 1, limit));
    let dry = world.etl().arguments(["run", "--dry-run", "--sources", "coinpaprika"]).run();
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(dry.stdout.contains("another run is at it"), "{}", dry.stdout);
    world.simulator.release();
    assert_eq!(first.wait(limit).code, 0);
    assert_eq!(world.tally("coinpaprika").loaded, 40);
}

#[test]
fn status_tells_freshness_checkpoint_and_wishes() {
    let world = World::new();
    world.run("coinpaprika,coingecko");
    world.simulator.fault(Route::CoingeckoMarkets, Fault::status(429).retry_after_secs(86_400)).once();
    assert_eq!(world.etl().run().code, 69);
    let text = world.etl().arguments(["status"]).run().stdout;
    for words in [
        "newest observation",
        "old",
        "checkpoint at batch",
        "not to be asked before",
        "last runs",
        "40 coins",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let status = json(&world.etl().arguments(["status", "--json"]).run());
    let sources = status["sources"].as_array().unwrap();
    let coingecko = sources.iter().find(|s| s["source"] == "coingecko").unwrap();
    assert_eq!((&coingecko["coins"], &coingecko["lease"]), (&40.into(), &Value::Null));
    assert_eq!(coingecko["last_run"]["failure_kind"], "rate_limited");
    assert!(
        coingecko["not_before"].is_string() && coingecko["newest_observation_age_seconds"].is_i64(),
        "{coingecko}"
    );
    assert_eq!(status["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn rejects_are_listed_by_source_reason_and_time() {
    let world = World::new();
    world.simulator.serve_body(
        Route::CoinpaprikaTickers,
        r#"[{"id":"a","quotes":{"USD":{"price":-5}}},{"id":"b","quotes":{"USD":{"price":{}}}},{"id":"c","quotes":{"USD":{"price":5}}}]"#,
    );
    world.run("coinpaprika");
    let codes = |arguments: &[&str]| -> Vec<String> {
        let output = world.etl().arguments(["rejects", "--json"]).arguments(arguments).run();
        assert_eq!(output.code, 0, "{}", output.stderr);
        let mut codes: Vec<String> = json(&output)
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["code"].as_str().unwrap().to_owned())
            .collect();
        codes.sort();
        codes
    };
    assert_eq!(codes(&[]), ["invalid_number", "negative_number"]);
    assert_eq!(
        codes(&["--code", "negative_number", "--source", "coinpaprika", "--since", "1h"]),
        ["negative_number"]
    );
    assert_eq!(codes(&["--limit", "1"]).len(), 1);
    assert!(codes(&["--source", "coingecko"]).is_empty());
    assert!(codes(&["--since", "2099-01-01T00:00:00Z"]).is_empty());
    for wrong in [["--code", "negative"], ["--source", "coinbase"], ["--since", "soon"]] {
        assert_eq!(world.etl().arguments(["rejects"]).arguments(wrong).run().code, 64, "{wrong:?}");
    }
}
