//! Clients that are slow on purpose: each is cut in bounded time, and others do not notice.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::support::{Service, service_with};

/// Long after every limit.
const LATE: Duration = Duration::from_secs(40);

/// Reads to the end of the connection, which comes by itself.
#[track_caller]
fn until_cut(mut stream: &TcpStream) -> String {
    stream.set_read_timeout(Some(LATE)).unwrap();
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("it is not cut: {error}"),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// Sends a byte now and then as long as the connection takes it. Returns what was answered.
#[track_caller]
fn drip(stream: &TcpStream, byte: &[u8]) -> String {
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| until_cut(stream));
        let begun = Instant::now();
        while !reader.is_finished() {
            assert!(begun.elapsed() < LATE, "it may drip on and on");
            let _ = (&mut &*stream).write_all(byte);
            std::thread::sleep(Duration::from_millis(100));
        }
        reader.join().unwrap()
    })
}

fn connect(service: &Service, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service.address()).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

#[test]
fn slow_heads_bodies_and_idle_connections_are_cut() {
    let (_database, service) = service_with("");
    std::thread::scope(|scope| {
        // A head that never ends: 408, without a body, because there is no request yet.
        scope.spawn(|| {
            let answer = drip(&connect(&service, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: "), b"a");
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
        });
        // The same behind a request that was answered, whatever was known of its connection.
        for before in
            ["GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "GET /data?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n"]
        {
            for times in [1, 2] {
                let service = &service;
                scope.spawn(move || {
                    let answers = drip(&connect(service, &before.repeat(times)), b"G");
                    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), times, "{answers:?}");
                    assert_eq!(answers.matches("HTTP/1.1 ").count(), times, "{answers:?}");
                });
            }
        }
        // Bodies that nobody reads: refused at once, and not waited for.
        for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
            let service = &service;
            scope.spawn(move || {
                let head = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
                let answer = drip(&connect(service, &head), b"1\r\na\r\n");
                assert!(
                    answer.starts_with("HTTP/1.1 413 ") && answer.contains("content_too_large"),
                    "{answer:?}"
                );
            });
        }
        // Nothing at all, and nothing more after an answer.
        scope.spawn(|| assert!(until_cut(&connect(&service, "")).starts_with("HTTP/1.1 408 ")));
        scope.spawn(|| {
            let answer = until_cut(&connect(&service, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert!(answer.ends_with("{\"status\":\"ok\"}"), "{answer}");
        });
        for _ in 0..20 {
            assert_eq!(service.get("/livez").status, 200);
        }
    });
}

#[test]
fn heads_have_a_size() {
    let (_database, service) = service_with("");
    let status = |head: String| {
        let answer = until_cut(&connect(&service, &head));
        answer.split(' ').nth(1).map(|status| status.parse::<u16>().unwrap())
    };
    let head =
        |headers: &str| format!("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    assert_eq!(status(head("")), Some(200));
    assert_eq!(status(head(&"X-A: a\r\n".repeat(120))), Some(431));
    assert_eq!(status(head(&format!("X-A: {}\r\n", "a".repeat(300_000)))), Some(431));
    assert_eq!(status(head("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")), Some(400));
    assert_eq!(status(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000))), Some(400));
    assert_eq!(status("no HTTP at all\r\n\r\n".to_owned()), Some(400));
}

/// An answer that fills every buffer on the way, and a client that takes none of it.
#[test]
fn a_client_that_takes_nothing_is_cut() {
    let (database, _) = service_with("");
    let service = Service::with(database.url(), |config| config.stalled = Duration::from_secs(1));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&service.address().parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let requests = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(8);
    stream.write_all(requests.as_bytes()).unwrap();
    // The end is told to whoever sends something: the connection is gone at the other side.
    let begun = Instant::now();
    while stream.write_all(b"G").is_ok() {
        assert!(begun.elapsed() < LATE, "it is not cut");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(service.get("/livez").status, 200);
    drop(database);
}
