//! Sources that fail: what the rows S ask for and no older test shows.

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use kasparro_testkit::proxy::{Direction, FaultProxy, Toxic};
use kasparro_testkit::recordings::skipped;
use kasparro_testkit::simulator::{Fault, Response, Route, Universe};
use socket2::SockRef;

use super::process::tool;
use crate::support::{World, check_invariants, contents, number, texts};

/// Runs CoinPaprika and expects that it fails in this way; what was stored before stays.
#[track_caller]
fn assert_fails(world: &World, name: &str, variables: &[(&str, &str)], code: i32, kind: &str, words: &str) {
    let mut connection = world.database.connect();
    let before = number(&mut connection, "select count(*) from observations");
    let output = world.etl().variables(variables).arguments(["run", "--sources", "coinpaprika"]).run();
    assert_eq!(output.code, code, "{name}: {}", output.stderr);
    assert!(output.stderr.contains(words), "{name}: {words:?} in {}", output.stderr);
    let tally = world.tally("coinpaprika");
    assert_eq!((tally.status.as_str(), tally.failure_kind.as_deref()), ("failed", Some(kind)), "{name}");
    assert_eq!(number(&mut connection, "select count(*) from observations"), before, "{name}");
    check_invariants(&mut connection);
}

#[test]
fn s1_a_host_without_an_address_is_tried_again_and_does_not_stop_the_others() {
    let world = World::new();
    let output = world
        .etl()
        .variable("COINPAPRIKA_BASE_URL", "http://kasparro.invalid/v1")
        .variable("ETL_RETRY_ATTEMPTS", "2")
        .run();
    assert_eq!(output.code, 69, "{}", output.stderr);
    for words in ["kasparro.invalid", "trying again", "(2 attempts)"] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }
    assert_eq!(world.tally("coinpaprika").failure_kind.as_deref(), Some("unavailable"));
    assert_eq!(world.tally("coingecko").loaded, 40);
    check_invariants(&mut world.database.connect());
}

/// A name server that hears and never answers: only the clock of the call ends the look-up.
#[test]
fn s1_a_name_server_that_says_nothing_is_ended_by_the_clock() {
    const TEST: &str = "s1_a_name_server_that_says_nothing_is_ended_by_the_clock";
    let Ok(_silent) = UdpSocket::bind("127.0.0.77:53") else {
        return skipped(TEST, "the port of a name server cannot be bound");
    };
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("resolv.conf");
    std::fs::write(&settings, "nameserver 127.0.0.77\n").unwrap();
    let settings = settings.to_str().unwrap();
    let sandbox = ["--dev-bind", "/", "/", "--ro-bind", settings, "/etc/resolv.conf"];
    if !tool(TEST, "bwrap", &[&sandbox[..], &["true"]].concat()) {
        return;
    }
    let world = World::new();
    let output = world
        .etl_as("bwrap")
        .arguments(sandbox)
        .arguments([env!("CARGO_BIN_EXE_kasparro-etl")])
        .variable("COINPAPRIKA_BASE_URL", "http://slow.kasparro.example/v1")
        .variables(&IMPATIENT)
        .run();
    assert_eq!(output.code, 69, "{}", output.stderr);
    for words in ["slow.kasparro.example", "timed out", "(2 attempts)"] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }
    assert_eq!(world.tally("coinpaprika").failure_kind.as_deref(), Some("unavailable"));
    assert_eq!(world.tally("coingecko").loaded, 40);
}

/// Short enough for a test; every wait has such a bound.
const IMPATIENT: [(&str, &str); 2] = [("ETL_CALL_TIMEOUT_SECONDS", "0.5"), ("ETL_RETRY_ATTEMPTS", "2")];

#[test]
fn s3_silence_at_any_point_is_ended_by_the_clock() {
    for fault in [Fault::silence(), Fault::silence_after(0), Fault::silence_after(50)] {
        let world = World::new();
        let name = format!("{fault:?}");
        world.simulator.fault(Route::CoinpaprikaTickers, fault).always();
        assert_fails(&world, &name, &IMPATIENT, 69, "unavailable", "timed out");
        assert_eq!(world.simulator.requests_to(Route::CoinpaprikaTickers).len(), 2, "{name}");
    }
}

#[test]
fn s3_a_host_that_drops_every_packet_is_ended_by_the_clock() {
    let world = World::new();
    // A full queue of connections that nobody accepts: the kernel drops what else knocks.
    let deaf = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    SockRef::from(&deaf).listen(0).unwrap();
    let address = deaf.local_addr().unwrap();
    let _waiting = [(); 2].map(|()| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address.into());
        socket
    });
    let url = format!("http://{address}/v1");
    let variables = [("COINPAPRIKA_BASE_URL", url.as_str()), IMPATIENT[0], IMPATIENT[1]];
    assert_fails(&world, "dropped", &variables, 69, "unavailable", "timed out");
}

#[test]
fn s6_every_form_of_retry_after_is_understood() {
    let soon = Duration::from_secs(1);
    for fault in [
        Fault::status(429).retry_after_past_date(Duration::from_secs(3600)),
        Fault::status(503).retry_after_date(soon),
        Fault::status(429).retry_after("soon"),
        Fault::status(429).retry_after("-1"),
        Fault::status(429).rate_limit_reset(soon),
    ] {
        let world = World::new();
        let name = format!("{fault:?}");
        world.simulator.fault(Route::CoinpaprikaTickers, fault).once();
        world.run("coinpaprika");
        assert_eq!(world.simulator.requests_to(Route::CoinpaprikaTickers).len(), 2, "{name}");
    }
}

#[test]
fn s6_a_wait_beyond_the_run_is_kept_for_the_next_one() {
    for wait in ["1000000000", "99999999999999999999999", "Fri, 31 Dec 2100 23:59:59 GMT"] {
        let world = World::new();
        world.simulator.fault(Route::CoinpaprikaTickers, Fault::status(429).retry_after(wait)).once();
        let said = format!("retry-after: {wait:?} is longer than a day; it is taken for a day");
        assert_fails(&world, wait, &[], 69, "rate_limited", &said);
        assert_fails(&world, wait, &[], 69, "rate_limited", "not to be called before");
        assert_eq!(world.simulator.requests_to(Route::CoinpaprikaTickers).len(), 1, "{wait}");
        let a_day = "select count(*) from etl_checkpoints where not_before between now() + interval '23 hours' \
                     and now() + interval '25 hours'";
        assert_eq!(number(&mut world.database.connect(), a_day), 1, "{wait}");
    }
}

#[test]
fn s7_an_error_that_does_not_pass_is_asked_five_times_and_no_longer_than_the_deadline() {
    for status in [408, 425, 500, 502, 503, 504] {
        let world = World::new();
        world.simulator.fault(Route::CoinpaprikaTickers, Fault::status(status)).always();
        assert_fails(&world, "status", &[], 69, "unavailable", &format!("status {status}"));
        assert_eq!(world.simulator.requests_to(Route::CoinpaprikaTickers).len(), 5, "{status}");
    }
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::status(500)).always();
    let variables = [
        ("ETL_RETRY_ATTEMPTS", "20"),
        ("ETL_RETRY_DELAY_SECONDS", "0.2"),
        ("ETL_REQUEST_DEADLINE_SECONDS", "0.3"),
    ];
    assert_fails(&world, "deadline", &variables, 69, "unavailable", "status 500");
    assert!(world.simulator.requests_to(Route::CoinpaprikaTickers).len() < 5);
}

#[test]
fn s8_a_refusal_is_asked_once() {
    let cloudflare = Response::new(403, "text/plain; charset=UTF-8", "error code: 1020");
    for (fault, words) in [
        (Fault::status(400), "status 400"),
        (Fault::status(401), "status 401"),
        (Fault::status(403), "status 403"),
        (Fault::status(404), "status 404"),
        (Fault::status(410), "status 410"),
        (Fault::status(422), "status 422"),
        (Fault::status(451), "status 451"),
        (Fault::coingecko_wrong_host(), "change your root URL"),
        (Fault::respond(cloudflare), "error code: 1020"),
        (Fault::no_content(), "status 204"),
    ] {
        let world = World::new();
        let name = format!("{fault:?}");
        world.simulator.fault(Route::CoinpaprikaTickers, fault).always();
        assert_fails(&world, &name, &[], 69, "unavailable", words);
        assert_eq!(world.simulator.requests_to(Route::CoinpaprikaTickers).len(), 1, "{name}");
    }
}

/// Eight bytes at which a body is cut, and then it comes whole.
fn cut_at(places: &[usize], cut: fn(usize) -> Fault, gzip: bool) {
    let world = World::with(Universe::new(7).coins(2));
    world.simulator.set_gzip(gzip);
    for &place in places {
        world.simulator.fault(Route::CoinpaprikaTickers, cut(place)).once();
    }
    let attempts = (places.len() + 1).to_string();
    let output = world
        .etl()
        .variable("ETL_RETRY_ATTEMPTS", attempts)
        .variable("ETL_RETRY_DELAY_SECONDS", "0.001")
        .arguments(["run", "--sources", "coinpaprika"])
        .run();
    assert_eq!(output.code, 0, "{places:?}: {}", output.stderr);
    assert_eq!(world.tally("coinpaprika").loaded, 2, "{places:?}");
    assert_eq!(number(&mut world.database.connect(), "select count(*) from raw_api_data"), 1, "{places:?}");
}

/// Every way of breaking a body off.
const CUTS: [fn(usize) -> Fault; 3] = [Fault::truncate_at, Fault::cut_chunked_at, Fault::reset_after];

#[test]
fn s9_a_body_that_breaks_off_is_never_taken_for_a_whole_one() {
    for cut in CUTS {
        for gzip in [false, true] {
            cut_at(&[0, 1, 2, 10, 40, 100, 200, 290], cut, gzip);
        }
    }
}

#[test]
#[ignore = "minutes: make test-chaos"]
fn s9_a_body_is_cut_at_every_byte() {
    let places: Vec<usize> = (0..1_300).collect();
    for chunk in places.chunks(8) {
        cut_at(chunk, Fault::truncate_at, false);
    }
    // Packed, it is a third as long.
    for cut in CUTS {
        for chunk in places[..400].chunks(8) {
            cut_at(chunk, cut, true);
        }
    }
}

#[test]
fn s11_a_length_that_is_not_true_is_never_believed() {
    for length in [1, 100, 1 << 40] {
        let world = World::new();
        world.simulator.fault(Route::CoinpaprikaTickers, Fault::lying_content_length(length)).once();
        world.run("coinpaprika");
        assert_eq!(world.tally("coinpaprika").loaded, 40, "{length}");
    }
    let world = World::new();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::false_gzip_label()).always();
    assert_fails(&world, "false gzip", &[], 69, "unavailable", "tickers");
}

#[test]
fn s21_no_call_goes_on_behind_the_deadline_of_its_request_or_source() {
    for setting in ["ETL_REQUEST_DEADLINE_SECONDS", "ETL_SOURCE_DEADLINE_SECONDS"] {
        for fault in [
            Fault::drip(1, Duration::from_millis(20)),
            Fault::silence_after(50),
            Fault::delay(Duration::from_secs(8)),
        ] {
            let world = World::new();
            let name = format!("{setting} {fault:?}");
            world.simulator.fault(Route::CoinpaprikaTickers, fault).always();
            let started = Instant::now();
            let words = format!("took longer than 1.5 s ({setting})");
            assert_fails(&world, &name, &[(setting, "1.5")], 69, "unavailable", &words);
            assert!(started.elapsed() < Duration::from_secs(6), "{name}: {:?}", started.elapsed());
            assert_eq!(world.simulator.requests_to(Route::CoinpaprikaTickers).len(), 1, "{name}");
        }
    }
}

#[test]
fn s12_s13_s26_a_value_that_cannot_be_stored_costs_its_record() {
    for (fault, code) in [
        (Fault::nul_byte(), "malformed_record"),
        (Fault::set_field_of(3, "price", "Infinity"), "malformed_record"),
        (Fault::set_field_of(3, "price", "-Infinity"), "malformed_record"),
        (Fault::set_field_of(3, "price", "\"NaN\""), "invalid_number"),
        (Fault::set_field_of(3, "price", "\"Infinity\""), "invalid_number"),
        (Fault::set_field_of(3, "price", "1e200000"), "number_out_of_range"),
        (Fault::set_field_of(3, "price", "1e-20000"), "number_out_of_range"),
        (Fault::set_field_of(3, "price", "[1]"), "invalid_number"),
        (Fault::set_field_of(3, "price", "true"), "invalid_number"),
        // Milliseconds for a time, as a number and as a text.
        (Fault::set_field_of(3, "last_updated", "1767225600000"), "malformed_record"),
        (Fault::set_field_of(3, "last_updated", "\"1767225600000\""), "invalid_time"),
        (Fault::set_field_of(3, "last_updated", "\"+058000-01-01T00:00:00Z\""), "invalid_time"),
    ] {
        let world = World::new();
        let name = format!("{fault:?}");
        world.simulator.fault(Route::CoinpaprikaTickers, fault).once();
        let output = world.run("coinpaprika");
        let tally = world.tally("coinpaprika");
        assert_eq!((tally.extracted, tally.rejected), (40, 1), "{name}: {}", output.stderr);
        let mut connection = world.database.connect();
        assert_eq!(texts(&mut connection, "select code from rejects"), [code], "{name}");
        check_invariants(&mut connection);
    }
}

#[test]
fn s14_of_two_values_for_one_coin_and_time_the_last_one_counts() {
    let world = World::new();
    world
        .simulator
        .fault(Route::CoinpaprikaTickers, Fault::duplicate_items_with(3, "price", "4711.25"))
        .once();
    world.run("coinpaprika");
    let tally = world.tally("coinpaprika");
    assert_eq!((tally.extracted, tally.loaded, tally.duplicate), (43, 40, 3), "{tally:?}");
    let mut connection = world.database.connect();
    assert_eq!(number(&mut connection, "select count(*) from observations where price_usd = 4711.25"), 3);
    check_invariants(&mut connection);
}

#[test]
fn s15_an_empty_list_is_suspicious_however_it_is_written() {
    for body in ["[]", " [ ]\n", "\u{feff}[]"] {
        let world = World::new();
        world.run("coinpaprika");
        let mut connection = world.database.connect();
        let before = contents(&mut connection);
        world.simulator.serve_body(Route::CoinpaprikaTickers, body);
        assert_fails(&world, body, &[], 65, "refused", "an empty list; what is stored stays as it is");
        assert_eq!(contents(&mut connection), before, "{body:?}");
        let output = world
            .etl()
            .variable("ETL_EMPTY_LIST", "warn")
            .arguments(["run", "--sources", "coinpaprika"])
            .run();
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(output.stderr.contains("WARN  coinpaprika: "), "{}", output.stderr);
        assert!(output.stderr.contains("an empty list; what is stored stays as it is"), "{}", output.stderr);
        assert_eq!(contents(&mut connection), before, "{body:?}");
    }
}

#[test]
fn s16_far_fewer_records_than_last_time_are_loaded_with_a_warning() {
    let world = World::new();
    let first = world.run("coinpaprika,coingecko");
    assert!(!first.stderr.contains("fewer"), "{}", first.stderr);
    world.simulator.advance();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::keep_percent(10)).once();
    let output = world.run("coinpaprika,coingecko");
    assert!(
        output.stderr.contains("coinpaprika: 4 records, far fewer than the 40 of run"),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains("coingecko: 40"), "{}", output.stderr);
    assert_eq!(world.tally("coinpaprika").extracted, 4);
    check_invariants(&mut world.database.connect());
}

#[test]
fn s19_a_number_inside_an_object_costs_every_record_and_nothing_that_is_stored() {
    let world = World::new();
    world.run("coinpaprika");
    let mut connection = world.database.connect();
    let before = number(&mut connection, "select count(*) from observations");
    world.simulator.advance();
    world.simulator.fault(Route::CoinpaprikaTickers, Fault::number_as_object("price")).once();
    let output = world.etl().arguments(["run", "--sources", "coinpaprika"]).run();
    assert_eq!(output.code, 65, "{}", output.stderr);
    assert!(output.stdout.contains("every one of 40 record(s) was refused"), "{}", output.stdout);
    let tally = world.tally("coinpaprika");
    assert_eq!((tally.extracted, tally.rejected), (40, 40), "{tally:?}");
    assert_eq!(number(&mut connection, "select count(*) from observations"), before);
    check_invariants(&mut connection);
}

#[test]
fn s20_an_error_inside_a_200_is_an_error_for_both_sources() {
    for route in [Route::CoinpaprikaTickers, Route::CoingeckoMarkets] {
        let source = if route == Route::CoinpaprikaTickers { "coinpaprika" } else { "coingecko" };
        for (fault, kind, requests) in
            [(Fault::error_in_200(), "unavailable", 1), (Fault::rate_limit_in_200(), "rate_limited", 5)]
        {
            let world = World::new();
            world.simulator.fault(route, fault).always();
            let output = world.etl().arguments(["run", "--sources", source]).run();
            assert_eq!(output.code, 69, "{source} {kind}: {}", output.stderr);
            assert_eq!(world.tally(source).failure_kind.as_deref(), Some(kind), "{source}");
            assert_eq!(world.simulator.requests_to(route).len(), requests, "{source} {kind}");
            check_invariants(&mut world.database.connect());
        }
    }
}

#[test]
fn s23_a_connection_that_breaks_anywhere_is_made_again() {
    let undisturbed = World::with(Universe::new(5).coins(300));
    undisturbed.run("coinpaprika,coingecko");
    let want = contents(&mut undisturbed.database.connect());
    for toxic in [
        Toxic::ResetAfter(0),
        Toxic::ResetAfter(150),
        Toxic::ResetAfter(5_000),
        Toxic::CutAfter(150),
        Toxic::CutAfter(5_000),
    ] {
        for direction in [Direction::Downstream, Direction::Upstream] {
            let world = World::with(Universe::new(5).coins(300));
            let output = through_proxy(&world, |proxy| proxy.poison(direction, toxic));
            assert_eq!(output, 0, "{toxic:?} {direction:?}");
            let mut connection = world.database.connect();
            assert_eq!(contents(&mut connection), want, "{toxic:?} {direction:?}");
            check_invariants(&mut connection);
        }
    }
}

#[test]
fn s24_a_slow_and_choppy_line_only_takes_longer() {
    let undisturbed = World::new();
    undisturbed.run("coinpaprika,coingecko");
    let want = contents(&mut undisturbed.database.connect());
    let millis = Duration::from_millis;
    for toxic in [
        Toxic::Latency { delay: millis(20), jitter: millis(40) },
        Toxic::Bandwidth(40_000),
        Toxic::Slice(1),
        Toxic::Slice(7),
    ] {
        let world = World::new();
        let code = through_proxy(&world, |proxy| {
            proxy.poison(Direction::Downstream, toxic);
            proxy.poison(Direction::Upstream, toxic);
        });
        assert_eq!(code, 0, "{toxic:?}");
        let mut connection = world.database.connect();
        assert_eq!(contents(&mut connection), want, "{toxic:?}");
        check_invariants(&mut connection);
    }
}

/// Runs both APIs over a faulty line; returns the exit code.
fn through_proxy(world: &World, poison: impl FnOnce(&FaultProxy)) -> i32 {
    let proxy = FaultProxy::to(world.simulator.address()).unwrap();
    poison(&proxy);
    let output = world
        .etl()
        .variable("COINPAPRIKA_BASE_URL", proxy.through(&world.simulator.coinpaprika_base_url()))
        .variable("COINGECKO_BASE_URL", proxy.through(&world.simulator.coingecko_base_url()))
        .run();
    if output.code != 0 {
        eprintln!("{}", output.stderr);
    }
    output.code
}
