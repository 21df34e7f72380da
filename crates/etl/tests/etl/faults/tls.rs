//! Sources behind TLS: row S4.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use kasparro_testkit::process::Output;
use kasparro_testkit::proxy::{Certificate, TlsFront};

use crate::support::{World, check_invariants, number};

/// Runs CoinPaprika over TLS, trusting the authority of the front and no other.
fn run(world: &World, front: &TlsFront, scheme: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("authority.pem");
    std::fs::write(&trusted, front.authority()).unwrap();
    world
        .etl()
        .variable("COINPAPRIKA_BASE_URL", format!("{scheme}://{}/coinpaprika/v1", front.address()))
        .variable("SSL_CERT_FILE", &trusted)
        .arguments(["run", "--sources", "coinpaprika"])
        .run()
}

#[test]
fn s4_a_certificate_is_good_or_nothing_is_asked() {
    let world = World::new();
    let front = TlsFront::start(world.simulator.address(), Certificate::Good).unwrap();
    let output = run(&world, &front, "https");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(world.tally("coinpaprika").loaded, 40);

    for (certificate, words) in [
        (Certificate::Expired, "xpired"),
        (Certificate::OtherHost, "not valid for"),
        (Certificate::SelfSigned, "UnknownIssuer"),
    ] {
        let world = World::new();
        let front = TlsFront::start(world.simulator.address(), certificate).unwrap();
        let output = run(&world, &front, "https");
        assert_eq!(output.code, 69, "{certificate:?}: {}", output.stderr);
        assert!(output.stderr.contains(words), "{certificate:?}: {}", output.stderr);
        assert!(!output.stderr.contains("trying again"), "{certificate:?}: {}", output.stderr);
        assert!(world.simulator.requests().is_empty(), "{certificate:?}");
        assert_eq!(world.tally("coinpaprika").failure_kind.as_deref(), Some("unavailable"));
        check_invariants(&mut world.database.connect());
    }
}

#[test]
fn s4_neither_side_goes_on_without_tls() {
    let world = World::new();
    // A server that speaks plain HTTP, and says so as real ones do, is not asked in plain HTTP instead.
    let plain = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = plain.local_addr().unwrap();
    let asked = thread::spawn(move || {
        let (mut client, _) = plain.accept().unwrap();
        client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).map(|_| said)
    });
    let output = world
        .etl()
        .variable("COINPAPRIKA_BASE_URL", format!("https://{address}/v1"))
        .arguments(["run", "--sources", "coinpaprika"])
        .run();
    assert_eq!(output.code, 69, "{}", output.stderr);
    assert!(output.stderr.contains("TLS"), "{}", output.stderr);
    assert!(!output.stderr.contains("trying again"), "{}", output.stderr);
    let said = asked.join().unwrap().unwrap_or_default();
    assert!(!said.windows(4).any(|part| part == b"GET "), "{}", String::from_utf8_lossy(&said));
    // Nor is a server that wants TLS mistaken for one that answers.
    let front = TlsFront::start(world.simulator.address(), Certificate::Good).unwrap();
    let output = run(&world, &front, "http");
    assert_eq!(output.code, 69, "{}", output.stderr);
    assert_eq!(number(&mut world.database.connect(), "select count(*) from observations"), 0);
    check_invariants(&mut world.database.connect());
}
