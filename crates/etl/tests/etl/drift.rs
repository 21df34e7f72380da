//! Sources that change their format.

use kasparro_testkit::recordings::skip_without_recordings;
use kasparro_testkit::simulator::{Fault, Route};

use crate::support::{World, check_invariants, number, texts};

const DRIFTS: &str = "select field || ' ' || kind || ' ' || required from schema_drift order by 1";

#[test]
fn a_source_that_keeps_its_format_has_no_drift() {
    let world = World::new();
    world.run("coinpaprika,coingecko");
    assert_eq!(texts(&mut world.database.connect(), DRIFTS), Vec::<String>::new());
}

#[test]
fn a_new_field_is_on_record_once_with_evidence_and_costs_nothing() {
    let world = World::new();
    world.simulator.fault(Route::CoingeckoMarkets, Fault::add_field("sentiment", "[1,2]")).always();
    let first = world.run("coingecko");
    assert!(first.stderr.contains("unknown field sentiment"), "{}", first.stderr);
    let second = world.run("coingecko");
    assert!(!second.stderr.contains("sentiment"), "it was said: {}", second.stderr);
    let mut connection = world.database.connect();
    let kept = "select field || ' ' || kind || ' ' || times || ' ' || evidence from schema_drift";
    assert_eq!(texts(&mut connection, kept), ["sentiment unknown 2 [1,2]"]);
    assert_eq!(number(&mut connection, "select count(*) from observations"), 40);
    let status = world.etl().arguments(["status"]).run().stdout;
    assert!(status.contains("format: unknown field sentiment, such as [1,2], last seen"), "{status}");
    check_invariants(&mut connection);
}

#[test]
fn control_characters_of_a_source_reach_no_terminal() {
    let world = World::new();
    let coin = |id: &str, price: &str| {
        format!(
            r#"{{"id":"{id}","name":"A\u001b[31m B","symbol":"AB","x\u001b[31mfield\n":1,"quotes":{{"USD":{{"price":{price}}}}}}}"#
        )
    };
    let body =
        format!("[{},{},{}]", coin("ab", "1"), coin(r"cd\u001b[31m\n", "1"), coin("ef", r#""\u001b[31m""#));
    world.simulator.serve_body(Route::CoinpaprikaTickers, body);
    let run = world.run("coinpaprika");
    assert!(run.stderr.contains("x\\u{1b}[31mfield\\n"), "{}", run.stderr);
    for arguments in [
        &["status"][..],
        &["rejects"],
        &["resolve", "--review"],
        &["resolve", "--explain", "ab"],
        &["resolve", "--explain", "ab\u{1b}"],
    ] {
        let output = world.etl().arguments(arguments).run();
        let said = output.stdout + &output.stderr;
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{arguments:?}: {said:?}");
        assert!(said.lines().all(|line| line.trim() != "(AB"), "{arguments:?}: {said}");
    }
    assert!(!run.stderr.contains('\u{1b}') && !run.stdout.contains('\u{1b}'), "{:?}", run.stderr);
}

#[test]
fn a_number_that_became_a_text_is_loaded_and_told() {
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::number_as_string("price")).once();
    world.run("coinpaprika");
    let mut connection = world.database.connect();
    assert_eq!(texts(&mut connection, DRIFTS), ["quotes.USD.price retyped true"]);
    assert_eq!(number(&mut connection, "select count(*) from observations"), 40);
}

#[test]
fn a_field_that_can_be_done_without_is_missed_and_found_under_its_new_name() {
    let world = World::new();
    world.run("coingecko");
    world.simulator.fault(Route::CoingeckoMarkets, Fault::rename_field("total_volume", "turnover")).always();
    world.run("coingecko");
    let mut connection = world.database.connect();
    assert_eq!(texts(&mut connection, DRIFTS), ["total_volume missing false", "turnover unknown false"]);
    let suggestion = texts(&mut connection, "select suggestion from schema_drift where kind = 'missing'");
    assert!(suggestion[0].starts_with("turnover (") && suggestion[0].contains("% of "), "{suggestion:?}");
    check_invariants(&mut connection);
}

#[test]
fn a_lost_required_field_freezes_the_source_and_its_new_name_is_suggested() {
    let world = World::new();
    world.run("coinpaprika,coingecko");
    let mut connection = world.database.connect();
    let before = number(&mut connection, "select count(*) from observations");
    world.simulator.advance();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::rename_field("price", "last_quote")).always();
    let output = world.etl().run();
    assert_eq!(output.code, 65, "{}", output.stderr);
    assert!(output.stdout.contains("quotes.USD.price may be quotes.USD.last_quote ("), "{}", output.stdout);
    assert_eq!(
        number(
            &mut connection,
            "select count(*) from observations where source_id = (select source_id from data_sources where name = 'coinpaprika')"
        ),
        40
    );
    assert!(
        number(&mut connection, "select count(*) from observations") > before,
        "the other source goes on"
    );
    assert_eq!(number(&mut connection, "select count(*) from raw_api_data where source = 'coinpaprika'"), 2);
    check_invariants(&mut connection);
}

#[test]
fn recorded_bodies_keep_the_contract() {
    let Some(folder) = skip_without_recordings("recorded_bodies_keep_the_contract") else { return };
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    let world = World::new();
    world
        .simulator
        .serve_body(Route::CoinpaprikaTickers, read("coinpaprika/2021-08-12/tickers_quotes_USD.full.json"));
    let pages =
        [1, 2].map(|page| read(&format!("coingecko/2023-12-02/coins_markets_usd_pp250_p{page}.json")));
    world.simulator.serve_pages(Route::CoingeckoMarkets, pages);
    world.run("coinpaprika,coingecko");
    assert_eq!(texts(&mut world.database.connect(), DRIFTS), Vec::<String>::new());
}
