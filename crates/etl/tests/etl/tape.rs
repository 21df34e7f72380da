//! Recording what the sources answer, and playing it again without a network.

use std::fs;

use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::simulator::{Fault, Route, Universe};

use crate::support::{World, check_invariants, contents, etl, number, texts};

#[test]
fn a_recording_played_into_another_database_leaves_the_same_tables() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(Universe::new(5).coins(300));
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::status(429).retry_after_secs(1)).once();
    let record = || world.etl().arguments(["run", "--record"]).arguments([folder.path()]);
    let recorded = record().variable("COINGECKO_API_KEY", "CG-canary").run();
    assert_eq!(recorded.code, 0, "{}", recorded.stderr);
    let files = |source: &str| fs::read_dir(folder.path().join(source)).unwrap().count();
    assert_eq!(
        (files("coinpaprika"), files("coingecko")),
        (4, 6),
        "a refusal and a body; two pages and an empty one"
    );
    for file in fs::read_dir(folder.path().join("coingecko")).unwrap() {
        assert!(!String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()).contains("canary"));
    }
    let again = record().run();
    assert_eq!(again.code, 78, "{}", again.stderr);
    assert!(again.stderr.contains("another folder"), "{}", again.stderr);

    let database = TestDatabase::new();
    let asked = world.simulator.requests().len();
    let replay = || {
        // The vendors' own addresses: nothing is called, and nothing is counted.
        etl(database.url()).arguments(["run", "--replay"]).arguments([folder.path()]).run()
    };
    let output = replay();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("trying again in 0.0 s"), "the refusal is played too: {}", output.stderr);
    assert_eq!(world.simulator.requests().len(), asked);
    let mut connection = database.connect();
    assert_eq!(contents(&mut connection), contents(&mut world.database.connect()));
    let times = "select observed_at from observations order by 1, coin_id";
    assert_eq!(
        texts(&mut connection, times),
        texts(&mut world.database.connect(), times),
        "also those of reading"
    );
    assert_eq!(number(&mut connection, "select count(*) from source_calls"), 0);
    assert!(replay().stdout.contains("nothing new"));
    check_invariants(&mut connection);
}

#[test]
fn a_recorded_refusal_ends_the_replay_as_it_ended_the_run_and_locks_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::status(429).retry_after_secs(9000)).always();
    world.simulator.fault(Route::CoingeckoList, Fault::status(404)).always();
    let record = world.etl().variable("LISTINGS_EVERY", "24h").arguments(["run", "--record"]);
    assert_eq!(record.arguments([folder.path()]).run().code, 69);
    world.simulator.clear_faults();

    let database = TestDatabase::new();
    let replay = etl(database.url()).variable("LISTINGS_EVERY", "24h").arguments(["run", "--replay"]);
    let output = replay.arguments([folder.path()]).run();
    assert_eq!(output.code, 69, "{}", output.stderr);
    for words in ["status 429", "coingecko_list failed"] {
        assert!((output.stderr.clone() + &output.stdout).contains(words), "{words}: {}", output.stderr);
    }
    let wishes = "select count(*) from etl_checkpoints where not_before is not null";
    assert_eq!(number(&mut database.connect(), wishes), 0);
    let output = world.etl_at(database.url()).arguments(["run", "--sources", "coinpaprika"]).run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    check_invariants(&mut database.connect());
}

#[test]
fn a_recording_that_ends_early_or_is_not_there_is_said_to() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(Universe::new(5).coins(300));
    let run = |what: &str, sources: &str| {
        world.etl().arguments(["run", "--sources", sources, what]).arguments([folder.path()]).run()
    };
    assert_eq!(run("--record", "coingecko").code, 0);
    fs::remove_file(folder.path().join("coingecko/0002.json")).unwrap();
    let cut = run("--replay", "coingecko");
    assert_eq!(cut.code, 66, "{}", cut.stderr);
    assert!(cut.stderr.contains("no (further) answer"), "{}", cut.stderr);
    assert_eq!(world.tally("coingecko").extracted, 250);
    let missing = run("--replay", "coinpaprika");
    assert_eq!(missing.code, 66, "{}", missing.stderr);
    assert_eq!(world.etl().arguments(["run", "--record", "a", "--replay", "b"]).run().code, 64);
    check_invariants(&mut world.database.connect());
}
