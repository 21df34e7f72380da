//! Removing what is old.

use std::fs;

use diesel::RunQueryDsl;
use kasparro_testkit::simulator::{Fault, Route};

use crate::support::{World, check_invariants, etl, number, texts};

/// Both APIs, and a file with three months of a coin that lives and one month of a coin that died.
fn old_world() -> World {
    let world = World::new();
    world.run("coinpaprika,coingecko");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.csv");
    let mut text = "id,name,price_usd,date\n".to_owned();
    for month in 1..=3 {
        for day in 1..=5 {
            text.push_str(&format!("lives,Lives,{month}.{day},2020-0{month}-0{day}T00:00:00Z\n"));
        }
    }
    for day in 1..=5 {
        text.push_str(&format!("died,Died,{day},2020-01-0{day}T00:00:00Z\n"));
    }
    fs::write(&path, text).unwrap();
    let output =
        etl(world.database.url()).variable("KASPARRO_SOURCES", "csv").variable("CSV_FILE_PATH", &path).run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    world
}

#[test]
fn old_months_go_and_the_newest_state_of_every_coin_stays() {
    let world = old_world();
    let mut connection = world.database.connect();
    let latest = "select concat_ws('|', coin_id, observed_at, price_usd) from coin_latest order by 1";
    let months = "select month from observation_partitions where month < '2021-01-01' order by 1";
    let before = texts(&mut connection, latest);
    let count = number(&mut connection, "select count(*) from observations");
    let prune = |arguments: &[&str]| {
        let output = world.etl().arguments(["prune", "--older-than", "1500d"]).arguments(arguments).run();
        assert_eq!(output.code, 0, "{}", output.stderr);
        output.stdout
    };
    let plan = prune(&["--dry-run"]);
    assert!(plan.contains("2020-01: 9 observations would be removed, 1 stay"), "{plan}");
    assert!(plan.contains("2020-02: 5 observations would be removed\n"), "{plan}");
    assert_eq!(number(&mut connection, "select count(*) from observations"), count);

    let done = prune(&[]);
    assert!(done.contains("2020-03: 4 observations removed, 1 stay"), "{done}");
    assert_eq!(number(&mut connection, "select count(*) from observations"), count - 18);
    assert_eq!(texts(&mut connection, latest), before);
    assert_eq!(texts(&mut connection, months), ["2020-01-01", "2020-03-01"]);
    assert_eq!(
        texts(
            &mut connection,
            "select crypto_id || ' ' || observed_at::date from cleaned_data where data_source = 'csv' order by 1"
        ),
        ["died 2020-01-05", "lives 2020-03-05"]
    );
    check_invariants(&mut connection);
    assert!(prune(&[]).contains("nothing is older"));
    world.simulator.advance();
    world.run("coinpaprika,coingecko");
    check_invariants(&mut connection);
}

#[test]
fn old_bytes_go_unless_an_observation_that_stays_comes_from_them() {
    let world = World::new();
    world.run("coinpaprika");
    world.simulator.advance_by(50);
    world.run("coinpaprika");
    // A body that brought nothing new.
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::utf8_bom()).once();
    world.run("coinpaprika");
    let mut connection = world.database.connect();
    let kept = number(&mut connection, "select count(*) from raw_api_data");
    assert_eq!(kept, 3);
    diesel::sql_query("update raw_api_data set fetched_at = now() - interval '500 days'")
        .execute(&mut connection)
        .unwrap();
    let output = world.etl().arguments(["prune", "--older-than", "400d"]).run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout.contains("raw: "), "{}", output.stdout);
    let left = number(&mut connection, "select count(*) from raw_api_data");
    assert!((1..kept).contains(&left), "{left}");
    let without =
        "select count(*) from coin_latest l join etl_batches b using (batch_id) where b.raw_api_id is null";
    assert_eq!(number(&mut connection, without), 0, "what is shown can be traced to its bytes");
    check_invariants(&mut connection);
}

#[test]
fn nothing_goes_while_a_run_is_at_it() {
    let world = old_world();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    let run = world.etl().arguments(["run", "--sources", "coinpaprika"]).spawn();
    let limit = std::time::Duration::from_secs(60);
    let asked = world.simulator.requests_to(Route::CoinpaprikaTickers).len();
    assert!(world.simulator.wait_for_requests(Route::CoinpaprikaTickers, asked + 1, limit));
    let output = world.etl().arguments(["prune", "--older-than", "1500d"]).run();
    assert_eq!(output.code, 75, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("coinpaprika is being loaded"), "{}", output.stderr);
    world.simulator.release();
    assert_eq!(run.wait(limit).code, 0);
    assert_eq!(world.etl().arguments(["prune", "--older-than", "1500d"]).run().code, 0);
    check_invariants(&mut world.database.connect());
    assert_eq!(world.etl().arguments(["prune"]).run().code, 64);
}

#[test]
fn the_partition_of_the_next_month_is_there_before_it_is_needed() {
    let world = World::new();
    world.run("coinpaprika");
    let ahead = "select count(*) from observation_partitions where indexed and month > now()";
    assert_eq!(number(&mut world.database.connect(), ahead), 1);
}
