//! Faults in how the bytes are sent, seen from a bare connection.

use std::io::{ErrorKind, Read};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use kasparro_testkit::simulator::{Fault, Route};

use crate::support::{TICKERS, connect, get, read_all, simulator, split, tickers, try_get};

#[test]
fn a_truncated_body_is_shorter_than_it_says() {
    let simulator = simulator();
    let whole = tickers(&simulator).body;
    for cut in [0, 1, 1_000, whole.len() - 1] {
        simulator.fault(Route::Any, Fault::truncate_at(cut)).once();
        let (received, end) = read_all(connect(&simulator, TICKERS, ""));
        let (head, body) = split(&received);
        assert!(end.is_ok() && head.contains(&format!("Content-Length: {}\r\n", whole.len())), "{head}");
        assert_eq!(body, whole[..cut]);
    }
    simulator.fault(Route::Any, Fault::truncate_at(1_000)).once();
    assert!(try_get(&format!("{}/tickers", simulator.coinpaprika_base_url())).is_err());
}

#[test]
fn a_chunked_body_is_cut_inside_a_chunk() {
    let simulator = simulator();
    let whole = tickers(&simulator).body;
    simulator.fault(Route::Any, Fault::cut_chunked_at(500)).once();
    let (received, end) = read_all(connect(&simulator, TICKERS, ""));
    let (head, body) = split(&received);
    assert!(end.is_ok() && head.contains("Transfer-Encoding: chunked") && !head.contains("Content-Length"));
    assert_eq!(body, [b"1f5\r\n", &whole[..500]].concat());
}

#[test]
fn connections_are_reset_before_and_inside_the_response() {
    let simulator = simulator();
    simulator.fault(Route::Any, Fault::reset()).once();
    let (received, end) = read_all(connect(&simulator, TICKERS, ""));
    assert_eq!((received.len(), end.unwrap_err().kind()), (0, ErrorKind::ConnectionReset));
    simulator.fault(Route::Any, Fault::reset_after(100)).once();
    let (received, end) = read_all(connect(&simulator, TICKERS, ""));
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(String::from_utf8_lossy(&received).starts_with("HTTP/1.1 200 OK"));
    assert_eq!(tickers(&simulator).status, 200);
}

#[test]
fn silence_lasts_until_the_simulator_stops() {
    let simulator = simulator();
    simulator.fault(Route::Any, Fault::silence()).once();
    simulator.fault(Route::Any, Fault::silence_after(10)).once();
    let silent = connect(&simulator, TICKERS, "");
    assert!(simulator.wait_for_requests(Route::Any, 1, Duration::from_secs(10)));
    let mut begun = connect(&simulator, TICKERS, "");
    let mut first = [0; 12];
    begun.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    silent.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let nothing = (&silent).read(&mut [0]).unwrap_err().kind();
    assert!(matches!(nothing, ErrorKind::WouldBlock | ErrorKind::TimedOut));
    silent.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    drop(simulator);
    assert!(read_all(silent).0.is_empty());
    assert!(!String::from_utf8_lossy(&read_all(begun).0).contains("0\r\n\r\n"));
}

#[test]
fn a_held_response_waits_for_its_release() {
    let simulator = simulator();
    simulator.fault(Route::CoinpaprikaTickers, Fault::hold()).once();
    thread::scope(|scope| {
        let (done, waits) = mpsc::channel();
        let simulator = &simulator;
        scope.spawn(move || done.send(tickers(simulator).status));
        assert!(simulator.wait_for_requests(Route::CoinpaprikaTickers, 1, Duration::from_secs(10)));
        assert!(
            get(&format!("{}/ping", simulator.coingecko_base_url())).status == 200,
            "others are served meanwhile"
        );
        assert!(waits.try_recv().is_err());
        simulator.release();
        assert_eq!(waits.recv().unwrap(), 200);
    });
}

#[test]
fn a_dripping_body_arrives_in_pieces_and_whole() {
    let simulator = simulator();
    simulator.serve_body(Route::CoinpaprikaTickers, "[1,2,3]");
    simulator.fault(Route::Any, Fault::drip(3, Duration::from_millis(1))).once();
    let (_, body) = split(&read_all(connect(&simulator, TICKERS, "Connection: close\r\n")).0);
    assert_eq!(body, b"3\r\n[1,\r\n3\r\n2,3\r\n1\r\n]\r\n0\r\n\r\n");
    simulator.fault(Route::Any, Fault::drip(1, Duration::from_secs(3_600))).once();
    let endless = connect(&simulator, TICKERS, "");
    assert!(simulator.wait_for_requests(Route::Any, 2, Duration::from_secs(10)));
    drop(simulator); // ends it at once
    assert!(!read_all(endless).0.ends_with(b"0\r\n\r\n"));
}

#[test]
fn a_content_length_lies_in_both_directions() {
    let simulator = simulator();
    let whole = tickers(&simulator).body;
    for length in [5, 1_000_000_000_000] {
        simulator.fault(Route::Any, Fault::lying_content_length(length)).once();
        let (head, body) = split(&read_all(connect(&simulator, TICKERS, "")).0);
        assert!(head.contains(&format!("Content-Length: {length}\r\n")) && !head.contains("chunked"));
        assert_eq!(body, whole);
    }
}

#[test]
fn bodies_larger_than_memory_are_made_while_they_are_sent() {
    let simulator = simulator();
    simulator.fault(Route::Any, Fault::gzip_bomb(300 << 20)).once();
    let (head, body) = split(&read_all(connect(&simulator, TICKERS, "Connection: close\r\n")).0);
    assert!(head.contains("Content-Encoding: gzip"));
    assert!(body.len() < 1 << 20, "{} bytes for 300 MiB", body.len());
    simulator.fault(Route::Any, Fault::gzip_bomb(3 << 20)).once();
    let unpacked = tickers(&simulator).text();
    assert!(unpacked.len() >= 3 << 20 && unpacked.trim_end() == "[");
    simulator.fault(Route::Any, Fault::huge_body(3 << 20)).once();
    assert_eq!(tickers(&simulator).body.len(), 3 << 20);
    simulator.fault(Route::Any, Fault::endless_body()).once();
    let mut stream = connect(&simulator, TICKERS, "");
    let mut much = vec![0; 20 << 20];
    stream.read_exact(&mut much).unwrap();
    drop(simulator); // while the body is still being sent
}
