//! A running service with a database of its own, and rows for it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix_web::rt::System;
use diesel::connection::SimpleConnection;
use kasparro_api::{Config, Handle, Listeners};
use kasparro_core::secret::Secret;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::pooler;
use serde_json::Value;

/// A service on a free port.
pub(crate) struct Service {
    address: String,
    metrics: String,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts on a database.
    pub(crate) fn on(url: &str) -> Self {
        Self::with(url, |_| ())
    }

    /// Starts a service that keeps no answers: what is committed shows in the next one.
    pub(crate) fn uncached(url: &str) -> Self {
        Self::with(url, |config| config.cache_bytes = 0)
    }

    /// Starts with settings of the test's own.
    pub(crate) fn with(url: &str, set: impl FnOnce(&mut Config)) -> Self {
        let pooled = pooler::instead_of(url);
        let mut config = Config::new(Secret::new(pooled.as_deref().unwrap_or(url)));
        config.pool_size = NonZeroUsize::new(4).unwrap();
        config.workers = NonZeroUsize::MIN;
        set(&mut config);
        let [public, metrics] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, metrics_address] =
            [&public, &metrics].map(|listener| listener.local_addr().unwrap().to_string());
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            for_ever(System::new()).block_on(async {
                let listeners = Listeners { public, metrics: Some(metrics) };
                let service = kasparro_api::start(&config, listeners).unwrap();
                sender.send(service.handle()).unwrap();
                service.run().await.unwrap();
            });
        });
        let handle = receiver.recv().unwrap();
        Self { address, metrics: metrics_address, handle, thread: Some(thread) }
    }

    /// GET, whatever the status.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[])
    }

    /// GET again and again until the answer is as wanted: for what a service learns by asking.
    #[track_caller]
    pub(crate) fn when(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = self.get(path);
            if wanted(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{path} stays {answer:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks again and again until the metrics have a line.
    #[track_caller]
    pub(crate) fn when_metrics(&self, line: &str) {
        let begun = Instant::now();
        while !self.metrics().lines().any(|shown| shown == line) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{line} is not in {}", self.metrics());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Any request without a body.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        raw_request(&self.address, method, path, headers)
    }

    /// Where it listens, as host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Stops it without losing a request, in the background.
    pub(crate) fn stop_gently(&self, announced: bool) -> JoinHandle<()> {
        let handle = self.handle.clone();
        std::thread::spawn(move || for_ever(System::new()).block_on(handle.stop_gently(announced)))
    }

    /// The text of `/metrics`.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        let answer = raw_request(&self.metrics, "GET", "/metrics", &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// GET, which must answer 200.
    #[track_caller]
    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.handle.stop_at_once());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A runtime that is not ended with its thread: that would wait for reads that a test holds up for ever, and the
/// threads of workers that end later would find half of it gone.
fn for_ever(system: actix_web::rt::SystemRunner) -> &'static actix_web::rt::SystemRunner {
    std::mem::forget(System::current());
    Box::leak(Box::new(system))
}

/// What the service answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// A header by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The problem, checked to be a complete one.
    #[track_caller]
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status);
        let id = self.header("x-request-id").unwrap();
        assert_eq!(body["request_id"], id);
        assert_eq!(body["instance"], format!("urn:kasparro:request:{id}"));
        assert_eq!(body["type"], format!("/problems/{}", body["code"].as_str().unwrap()));
        for text in ["title", "detail"] {
            assert!(!body[text].as_str().unwrap().is_empty());
        }
        body
    }
}

/// Writes a request by hand: a client would mend or refuse what some tests send.
pub(crate) fn raw_request(address: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    answer_of(send(address, method, path, headers))
}

/// Sends a request and does not wait for its answer.
pub(crate) fn send(address: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request_text(address, method, path, headers).as_bytes()).unwrap();
    stream
}

/// The answer to what was sent, read to the end of the connection.
pub(crate) fn answer_of(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let answer = Answer { bytes: bytes[end..].to_vec(), ..parse_answer(&String::from_utf8_lossy(&bytes)) };
    assert_tells_nothing(&answer);
    answer
}

/// No failure that any test provokes tells of the inside: neither statements nor addresses, paths or secrets.
#[track_caller]
fn assert_tells_nothing(answer: &Answer) {
    // Those repeat what the client wrote itself.
    if answer.status < 400 || [404, 422].contains(&answer.status) {
        return;
    }
    let told = answer.body.to_lowercase();
    for word in [
        "select ",
        " from etl",
        "insert into",
        "relation ",
        "column ",
        "sqlstate",
        "postgres",
        "canary",
        "/tmp/",
        "/src/",
        ".rs:",
        "panicked",
        "127.0.0.1",
        ".s.pgsql",
        "libpq",
    ] {
        assert!(!told.contains(word), "{word:?} is in {answer:?}");
    }
}

/// GET over a connection; `None` when the connection ends before the first byte of an answer.
pub(crate) fn exchange(mut stream: TcpStream, address: &str, path: &str) -> Option<Answer> {
    stream.write_all(request_text(address, "GET", path, &[]).as_bytes()).ok()?;
    stream.peek(&mut [0]).ok().filter(|bytes| *bytes > 0)?;
    Some(answer_of(stream))
}

fn request_text(address: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

/// Reads the head of an answer, and its body as text.
pub(crate) fn parse_answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Answer { status, headers, body: body.to_owned(), bytes: Vec::new() }
}

/// A service on a fresh database, filled with SQL.
pub(crate) fn service_with(sql: &str) -> (TestDatabase, Service) {
    let database = TestDatabase::new();
    run(&database, sql);
    let service = Service::on(database.url());
    (database, service)
}

/// The same with a service that keeps no answers.
pub(crate) fn uncached_service_with(sql: &str) -> (TestDatabase, Service) {
    let database = TestDatabase::new();
    run(&database, sql);
    let service = Service::uncached(database.url());
    (database, service)
}

/// Runs SQL in a test's database.
#[track_caller]
pub(crate) fn run(database: &TestDatabase, sql: &str) {
    // An empty text is no statement.
    database.connect().batch_execute(&format!("select; {sql}")).unwrap();
}

/// Three sources, nothing in them.
pub(crate) const SOURCES: &str = "
    insert into data_sources (source_id, name) overriding system value
    values (1, 'coingecko'), (2, 'coinpaprika'), (3, 'csv');
    insert into etl_runs (source, status, success, records_processed, started_at, ended_at, program_version)
    values ('coinpaprika,coingecko,csv', 'succeeded', true, 9, '2024-03-01 10:00Z', '2024-03-01 10:00:02.5Z', 'test');
    insert into raw_api_data (source, url, status, fetched_at, sha256, record_count, body)
    values ('coingecko', 'http://example.test/', 200, now(), sha256('x'), 1, 'x');
    select ensure_observation_partition(source_id, month::date)
      from data_sources, generate_series('2024-01-01'::date, '2024-04-01', '1 month') month;
";

/// Begins a batch of a source; its observations must lie in the first months of 2024.
pub(crate) fn batch(batch_id: i64, source: &str, created_at: &str) -> String {
    format!(
        "insert into etl_batches (batch_id, run_id, source, number, lease_epoch, raw_api_id, origin, extracted, loaded,
                                  restated, unchanged, duplicate, rejected, observed_from, observed_to, created_at)
         overriding system value
         values ({batch_id}, 1, '{source}', {batch_id}, 1, 1, 'test', 1, 1, 0, 0, 0, 0,
                 '2024-01-01Z', '2024-04-30Z', '{created_at}');
         update data_sources set batch_number = {batch_id}, last_batch_at = '{created_at}' where name = '{source}';"
    )
}

/// Makes a coin.
pub(crate) fn coin(coin_id: i32, source_id: i16, crypto_id: &str) -> String {
    format!(
        "insert into coins (coin_id, source_id, crypto_id) overriding system value
         values ({coin_id}, {source_id}, '{crypto_id}');
         insert into coin_labels (label_id, coin_id, crypto_name, symbol) overriding system value
         values ({coin_id}, {coin_id}, 'Name of {crypto_id}', upper('{crypto_id}'));
         update data_sources set coins = coins + 1 where source_id = {source_id};"
    )
}

/// Adds an observation; `price` and `cap` are SQL. [`settle`] brings the counters up.
pub(crate) fn observation(coin_id: i32, batch_id: i64, observed_at: &str, price: &str, cap: &str) -> String {
    format!(
        "insert into observations (observed_at, batch_id, coin_id, label_id, raw_position, rank, source_id, price_usd,
                                   market_cap_usd)
         select '{observed_at}', {batch_id}, {coin_id}, {coin_id}, 0, null, source_id, {price}, {cap}
           from coins where coin_id = {coin_id};"
    )
}

/// Brings `coin_latest`, the counters and the batches up to the observations, as the loader does with each batch.
pub(crate) const SETTLE: &str = "
    insert into coin_latest
    select distinct on (coin_id) coin_id, source_id, observed_at,
           min(observed_at) over (partition by coin_id), count(*) over (partition by coin_id),
           batch_id, label_id, raw_position, rank, price_usd, market_cap_usd, volume_24h_usd, change_24h_percent,
           circulating_supply, total_supply, max_supply
      from observations order by coin_id, observed_at desc
    on conflict (coin_id) do update
       set observed_at = excluded.observed_at, observations = excluded.observations, batch_id = excluded.batch_id,
           price_usd = excluded.price_usd, market_cap_usd = excluded.market_cap_usd,
           volume_24h_usd = excluded.volume_24h_usd;
    update data_sources s
       set observations = (select count(*) from observations o where o.source_id = s.source_id),
           raw_records = (select count(*) from observations o where o.source_id = s.source_id);
    with written as (
        select batch_id, count(*) as n, min(observed_at) as first, max(observed_at) as last from observations group by batch_id)
    update etl_batches b set extracted = n, loaded = n, observed_from = first, observed_to = last
      from written w where w.batch_id = b.batch_id;
    select rebuild_coin_months(source_id, month) from observation_partitions;
";
