//! Answers that a worker gives again in passing: the same as those of the long way, each a request of its own.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chrono::DateTime;

use crate::support::{
    Answer, SETTLE, SOURCES, Service, batch, coin, observation, parse_answer, run, service_with,
};

const PATHS: [&str; 6] =
    ["/data?limit=10", "/data/a", "/stats", "/stats/summary", "/data/nobody", "/data?limit=x"];

const FORMS: [&[(&str, &str)]; 6] = [
    &[],
    &[("Accept", "text/csv")],
    &[("Accept", "application/x-ndjson")],
    &[("Accept-Encoding", "gzip")],
    &[("Accept-Encoding", "zstd, br")],
    &[("Accept", "text/csv"), ("Accept", "application/json"), ("User-Agent", "test")],
];

fn service() -> (kasparro_testkit::database::TestDatabase, Service) {
    let mut sql = [SOURCES, &batch(1, "csv", "2024-03-01Z"), &coin(1, 3, "a")].concat();
    for day in 1..=28 {
        sql += &observation(1, 1, &format!("2024-02-{day:02}Z"), "1.50", "1e20");
    }
    let (database, service) = service_with(&(sql + SETTLE));
    service.when_metrics("kasparro_data_version_known 1");
    (database, service)
}

/// All that is not of one request alone.
fn lasting(answer: &Answer) -> (u16, Vec<u8>, Vec<(String, String)>) {
    let own = ["x-request-id", "server-timing", "date", "connection"];
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| !own.contains(&name.as_str()));
    headers.sort();
    // The body of a problem has the id of its request.
    let body = if answer.status == 200 { answer.bytes.clone() } else { Vec::new() };
    if answer.status != 200 {
        headers.retain(|(name, _)| name != "content-length");
    }
    (answer.status, body, headers)
}

#[test]
fn answers_in_passing_are_those_of_the_long_way() {
    let (_database, service) = service();
    let mut connection = Connection::to(&service);
    let (mut ids, mut in_passing) = (HashSet::new(), 0);
    for path in PATHS {
        for form in FORMS {
            // An id of the client's own is never answered in passing.
            let long_way = [form, &[("X-Request-Id", "mine")]].concat();
            let expected = service.request("GET", path, &long_way);
            assert_eq!(expected.header("x-request-id"), Some("mine"));
            for _ in 0..8 {
                connection.send(&get(path, form));
                let answer = connection.receive(true);
                assert!(lasting(&answer) == lasting(&expected), "{path} {form:?}: {answer:?}");
                assert!(ids.insert(answer.header("x-request-id").unwrap().to_owned()), "an id came twice");
                for name in ["date", "server-timing", "content-type", "content-length"] {
                    assert_eq!(answer.headers.iter().filter(|(given, _)| given == name).count(), 1, "{name}");
                }
                assert!(DateTime::parse_from_rfc2822(answer.header("date").unwrap()).is_ok());
                assert!(answer.status == 200 || !came_in_passing(&answer), "{path}");
                in_passing += u32::from(came_in_passing(&answer));
            }
        }
    }
    assert!(in_passing > 50, "{in_passing}");
}

#[test]
fn heads_have_no_body_and_conditions_are_met() {
    let (_database, service) = service();
    for _ in 0..40 {
        assert_eq!(service.get("/stats").status, 200);
    }
    assert!(service.request("HEAD", "/stats", &[]).bytes.is_empty());
    let tag = service.get("/stats").header("etag").unwrap().to_owned();
    assert_eq!(service.request("GET", "/stats", &[("If-None-Match", &tag)]).status, 304);
    let counted = service.metrics();
    let count =
        |status| format!("http_requests_total{{method=\"GET\",route=\"/stats\",status=\"{status}\"}}");
    assert!(counted.contains(&format!("{} 41\n", count(200))), "{counted}");
    assert!(counted.contains(&format!("{} 1\n", count(304))), "{counted}");
}

#[test]
fn health_is_of_now() {
    let (_database, service) = service();
    let time = || service.json("/health")["timestamp"].as_str().unwrap().to_owned();
    let first = time();
    service.when("/health", |answer| answer.json()["timestamp"] != first.as_str());
}

/// A connection that is kept.
struct Connection {
    stream: TcpStream,
    received: BufReader<TcpStream>,
}

impl Connection {
    fn to(service: &Service) -> Self {
        let stream = TcpStream::connect(service.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        let received = BufReader::new(stream.try_clone().unwrap());
        Self { stream, received }
    }

    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// The next answer; `has_body` is what its request tells of it.
    fn receive(&mut self, has_body: bool) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.received.read_line(&mut head).unwrap() > 0, "the connection ended: {head:?}");
        }
        let mut answer = parse_answer(&head);
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.bytes = vec![0; if has_body { length } else { 0 }];
        self.received.read_exact(&mut answer.bytes).unwrap();
        answer
    }

    fn get(&mut self, path: &str) -> Answer {
        self.send(&get(path, &[]));
        self.receive(true)
    }

    /// Asks until the answer comes in passing.
    fn get_in_passing(&mut self, path: &str) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = self.get(path);
            if came_in_passing(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{path} always takes the long way");
        }
    }
}

fn get(path: &str, headers: &[(&str, &str)]) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n")
}

/// The library writes the date last.
fn came_in_passing(answer: &Answer) -> bool {
    answer.headers[1].0 == "date"
}

#[test]
fn answers_in_passing_are_counted() {
    let (_database, service) = service();
    let mut connection = Connection::to(&service);
    let in_passing = (0..50).filter(|_| came_in_passing(&connection.get("/stats"))).count();
    assert!(in_passing > 0);
    let counted = service.metrics();
    assert!(
        counted.contains("http_requests_total{method=\"GET\",route=\"/stats\",status=\"200\"} 50\n"),
        "{counted}"
    );
}

#[test]
fn an_answer_in_passing_is_never_of_old_data() {
    let (database, service) = service();
    let mut connection = Connection::to(&service);
    let before = connection.get_in_passing("/data?limit=1");
    let more =
        [batch(2, "csv", "2024-03-02Z"), observation(1, 2, "2024-03-02Z", "2", "2"), SETTLE.to_owned()];
    run(&database, &more.concat());
    // Other requests ask the tables; from then on nothing old is given.
    let fresh =
        service.when("/data?limit=1&offset=0", |answer| answer.header("etag") != before.header("etag"));
    for _ in 0..20 {
        assert_eq!(connection.get("/data?limit=1").header("etag"), fresh.header("etag"));
    }
}

/// The order of answers is that of the requests, however these come.
#[test]
fn answers_do_not_mix() {
    let (_database, service) = service();
    let bodies: Vec<(&str, Vec<u8>)> =
        ["/data?limit=10", "/stats", "/data/a"].map(|path| (path, service.get(path).bytes)).to_vec();
    let body_of = |path: &str| &bodies.iter().find(|(known, _)| *known == path).unwrap().1;
    let paths: Vec<&str> = bodies.iter().map(|(path, _)| *path).collect();
    let all_at_once: String = paths.iter().map(|path| get(path, &[])).collect();
    type Disturb<'t> = Box<dyn Fn(&mut Connection) + 't>;
    let disturbances: Vec<(&str, Disturb<'_>)> = vec![
        ("nothing", Box::new(|_| ())),
        (
            "all at once",
            Box::new(|connection| {
                connection.send(&all_at_once);
                paths.iter().for_each(|path| assert_eq!(&connection.receive(true).bytes, body_of(path)));
            }),
        ),
        (
            "in pieces",
            Box::new(|connection| {
                let (begin, end) = all_at_once.split_at(all_at_once.len() - 30);
                connection.send(begin);
                assert_eq!(&connection.receive(true).bytes, body_of(paths[0]));
                assert_eq!(&connection.receive(true).bytes, body_of(paths[1]));
                connection.send(end);
                assert_eq!(&connection.receive(true).bytes, body_of(paths[2]));
            }),
        ),
        (
            "a head alone",
            Box::new(|connection| {
                connection.send("HEAD /stats HTTP/1.1\r\nHost: test\r\n\r\n");
                assert!(connection.receive(false).header("content-length").is_some());
            }),
        ),
        (
            "a body",
            Box::new(|connection| {
                connection.send("GET /stats HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nxx");
                assert_eq!(connection.receive(true).status, 413);
                *connection = Connection::to(&service);
            }),
        ),
        (
            "a stream",
            Box::new(|connection| {
                connection.send(&get("/data/export?format=csv", &[]));
                connection.receive(false);
                let mut line = String::new();
                while line != "0\r\n" {
                    line.clear();
                    assert!(connection.received.read_line(&mut line).unwrap() > 0);
                }
                connection.received.read_line(&mut line).unwrap();
            }),
        ),
    ];
    for (what, disturb) in &disturbances {
        let mut connection = Connection::to(&service);
        for path in &paths {
            assert_eq!(&connection.get_in_passing(path).bytes, body_of(path), "before {what}");
        }
        disturb(&mut connection);
        for path in paths.iter().cycle().take(12) {
            assert_eq!(&connection.get(path).bytes, body_of(path), "after {what}");
        }
    }
}

/// Whoever takes no answers is asked to wait, and gets each of them whole when he takes them.
#[test]
fn answers_that_nobody_takes_wait() {
    let (_database, service) = service();
    let path = "/data?limit=100";
    let expected = service.get(path).bytes;
    let mut connection = Connection::to(&service);
    connection.get_in_passing(path);
    let answered = || {
        let metrics = service.metrics();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("http_requests_total{method=\"GET\",route=\"/data\""));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).unwrap()
    };
    let mut asked = 0;
    // Until what lies in between is full.
    loop {
        let before = answered();
        connection.send(&get(path, &[]));
        asked += 1;
        let sent = Instant::now();
        while answered() == before && sent.elapsed() < Duration::from_millis(500) {
            std::thread::yield_now();
        }
        if answered() == before {
            break;
        }
        assert!(asked < 20_000, "answers are kept for a client that takes none");
    }
    for _ in 0..asked {
        assert_eq!(connection.receive(true).bytes, expected);
    }
    assert_eq!(connection.get(path).bytes, expected);
}
