use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;

use super::*;
use crate::database::TestDatabase;

const SOON: Duration = Duration::from_secs(60);

/// A server that sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    address
}

fn client(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Sends bytes and reads as many back; what came before the connection ended otherwise.
fn ask(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), (usize, Option<ErrorKind>)> {
    let _ = stream.write_all(bytes);
    let mut got = 0;
    let mut block = vec![0; bytes.len()];
    while got < bytes.len() {
        match stream.read(&mut block[got..]) {
            Ok(0) => return Err((got, None)),
            Ok(read) => got += read,
            Err(error) => return Err((got, Some(error.kind()))),
        }
    }
    assert_eq!(block, bytes);
    Ok(())
}

#[test]
fn bytes_arrive_as_they_were_whatever_the_pieces() {
    let proxy = FaultProxy::to(echo()).unwrap();
    proxy.poison(Direction::Upstream, Toxic::Slice(3));
    proxy.poison(Direction::Downstream, Toxic::Slice(1));
    let jitter = Duration::from_micros(10);
    proxy.poison(Direction::Downstream, Toxic::Latency { delay: jitter, jitter });
    let bytes: Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
    ask(&mut client(&proxy), &bytes).unwrap();
    // A piece is counted when it is written, which its reader may see first.
    let begun = Instant::now();
    while proxy.passed(Direction::Downstream) < 5000 && begun.elapsed() < SOON {
        std::thread::yield_now();
    }
    assert_eq!(proxy.passed(Direction::Upstream), 5000);
    assert_eq!(proxy.passed(Direction::Downstream), 5000);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn the_same_seed_makes_the_same_pieces() {
    let pieces = |seed| {
        let mut lane = Lane::default();
        lane.seed(seed);
        lane.poison(Toxic::Slice(100));
        (0..20).map(|_| lane.piece(1000).0).collect::<Vec<_>>()
    };
    assert_eq!(pieces(1), pieces(1));
    assert_ne!(pieces(1), pieces(2));
    assert!(pieces(3).iter().all(|size| (1..=100).contains(size)));
}

#[test]
fn a_connection_ends_at_the_byte_once() {
    for (toxic, how) in [(Toxic::CutAfter(7), None), (Toxic::ResetAfter(7), Some(ErrorKind::ConnectionReset))]
    {
        let proxy = FaultProxy::to(echo()).unwrap();
        proxy.poison(Direction::Downstream, toxic);
        let (got, error) = ask(&mut client(&proxy), b"0123456789").unwrap_err();
        assert_eq!(error, how, "{toxic:?}");
        // A reset may overtake bytes that were sent before it.
        assert!(got == 7 || how.is_some() && got < 7, "{toxic:?}: {got}");
        ask(&mut client(&proxy), b"0123456789").unwrap();
    }
}

#[test]
fn what_was_silenced_arrives_when_it_is_lifted() {
    let proxy = FaultProxy::to(echo()).unwrap();
    proxy.poison(Direction::Downstream, Toxic::Silence);
    let mut stream = client(&proxy);
    let (sender, answered) = mpsc::channel();
    let mut other = stream.try_clone().unwrap();
    thread::spawn(move || sender.send(ask(&mut other, b"late")));
    stream.write_all(b"").unwrap();
    assert!(answered.try_recv().is_err());
    proxy.heal();
    assert_eq!(answered.recv_timeout(SOON), Ok(Ok(())));
}

#[test]
fn bandwidth_is_what_was_asked_for() {
    let proxy = FaultProxy::to(echo()).unwrap();
    proxy.poison(Direction::Downstream, Toxic::Bandwidth(10_000));
    let start = Instant::now();
    ask(&mut client(&proxy), &[7; 2000]).unwrap();
    // Only the lower bound: an upper one would measure the machine.
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_server_that_is_down_resets_and_comes_back() {
    let proxy = FaultProxy::to(echo()).unwrap();
    let mut stream = client(&proxy);
    ask(&mut stream, b"here").unwrap();
    proxy.down();
    assert!(ask(&mut stream, b"gone").is_err());
    assert!(ask(&mut client(&proxy), b"gone").is_err());
    proxy.up();
    ask(&mut client(&proxy), b"back").unwrap();
}

#[test]
fn an_address_leads_through_the_relay() {
    let proxy = FaultProxy::to_http("http://127.0.0.1:9/v1").unwrap();
    assert_eq!(proxy.through("http://127.0.0.1:9/v1?a=b"), format!("http://{}/v1?a=b", proxy.address()));
    assert!(FaultProxy::to_http("postgresql://x").is_err());
}

#[test]
fn a_statement_is_held_by_its_number_or_words_and_let_go() {
    let database = TestDatabase::empty();
    let relay = PostgresProxy::start(database.url()).unwrap();
    for by_words in [false, true] {
        let mut connection = kasparro_core::db::connect(&relay.url()).unwrap();
        if by_words {
            relay.hold_text("select 'needle'")
        } else {
            relay.hold_at(relay.statements() + 2)
        }
        let asked = thread::spawn(move || {
            connection.batch_execute("select 1").and_then(|()| connection.batch_execute("select 'needle'"))
        });
        assert!(relay.wait_held(SOON));
        assert!(!asked.is_finished());
        relay.release();
        asked.join().unwrap().unwrap();
    }
}

#[test]
fn the_answer_of_a_statement_is_held_while_its_work_is_done() {
    let database = TestDatabase::empty();
    let relay = PostgresProxy::start(database.url()).unwrap();
    let mut connection = kasparro_core::db::connect(&relay.url()).unwrap();
    relay.hold_after(relay.statements() + 1);
    let asked = thread::spawn(move || connection.batch_execute("create table made ()"));
    assert!(relay.wait_held(SOON));
    let mut direct = database.connect();
    while direct.batch_execute("select from made").is_err() {
        thread::yield_now();
    }
    assert!(!asked.is_finished());
    drop(relay);
    assert!(asked.join().unwrap().is_err());
}
