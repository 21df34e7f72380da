//! The end of the service: nobody who was let in is turned away.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use kasparro_testkit::database::TestDatabase;

use crate::support::{SOURCES, Service, run};

/// A client that keeps its connection.
struct Kept(TcpStream);

impl Kept {
    fn to(service: &Service) -> Self {
        let stream = TcpStream::connect(service.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(stream)
    }

    fn ask(&mut self, path: &str) {
        self.0.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    }

    /// Head and body of an answer, by its length.
    fn answer(&mut self) -> String {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte).unwrap();
            text.push(byte[0]);
        }
        let head = String::from_utf8(text).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        head + &String::from_utf8(body).unwrap()
    }

    fn is_closed(&mut self) -> bool {
        self.0.read(&mut [0]).is_ok_and(|bytes| bytes == 0)
    }
}

#[test]
fn first_unready_then_closed_and_what_is_in_flight_is_answered() {
    let database = TestDatabase::new();
    run(&database, SOURCES);
    let service = Service::with(database.url(), |config| {
        config.cache_bytes = 0;
        config.drain = Duration::from_secs(600);
    });
    let mut slow = Kept::to(&service);
    slow.ask("/data");
    assert!(slow.answer().starts_with("http/1.1 200"));
    let mut idle = Kept::to(&service);
    idle.ask("/livez");
    assert!(!idle.answer().contains("connection: close"));

    // Unready, but still serving: whoever sends requests here has time to notice.
    let _waiting = service.stop_gently(true);
    let unready = service.when("/readyz", |answer| answer.status == 503);
    assert_eq!(unready.problem()["code"], "shutting_down");
    assert_eq!(unready.header("retry-after"), Some("1"));
    assert_eq!((service.get("/livez").status, service.get("/data").status), (200, 200));

    // A request that waits for the database while the listener closes.
    let mut holder = database.connect();
    holder.batch_execute("begin; lock table data_sources in access exclusive mode").unwrap();
    slow.ask("/data");
    when_a_read_waits(&database);
    let stopping = service.stop_gently(false);
    assert!(idle.is_closed(), "an idle connection is not waited for");
    let begun = Instant::now();
    while TcpStream::connect(service.address()).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "connections are still accepted");
        std::thread::sleep(Duration::from_millis(5));
    }
    holder.batch_execute("rollback").unwrap();
    let answer = slow.answer();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close") && answer.ends_with('}'), "{answer}");
    stopping.join().unwrap();
}

fn when_a_read_waits(database: &TestDatabase) {
    use diesel::RunQueryDsl;
    let mut connection = database.connect();
    let begun = Instant::now();
    loop {
        let waiting = diesel::sql_query(
            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        );
        if waiting.execute(&mut connection).unwrap() > 0 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no read waits");
        std::thread::sleep(Duration::from_millis(5));
    }
}
