//! Two clients: ureq, as the ETL uses it, and a bare connection for what ureq hides.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use kasparro_testkit::simulator::{Simulator, Universe};
use serde_json::Value;

/// A simulator with every quirk.
pub(crate) fn simulator() -> Simulator {
    Simulator::start(Universe::new(7).coins(100))
}

/// Status, headers and body as ureq sees them.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn items(&self) -> Vec<Value> {
        self.json().as_array().unwrap().clone()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.items().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// An agent that follows no redirect, takes any status, and waits at most ten seconds.
pub(crate) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    config
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into()
}

pub(crate) fn try_get(url: &str) -> Result<Got, ureq::Error> {
    let mut response = agent().get(url).call()?;
    let headers =
        response.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let headers = headers.collect();
    let body = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
    Ok(Got { status: response.status().as_u16(), headers, body })
}

pub(crate) fn get(url: &str) -> Got {
    try_get(url).unwrap()
}

pub(crate) fn tickers(simulator: &Simulator) -> Got {
    get(&format!("{}/tickers", simulator.coinpaprika_base_url()))
}

pub(crate) fn markets(simulator: &Simulator, query: &str) -> Got {
    get(&format!("{}/coins/markets?vs_currency=usd&{query}", simulator.coingecko_base_url()))
}

/// A request over a bare connection.
pub(crate) fn connect(simulator: &Simulator, path: &str, headers: &str) -> TcpStream {
    let address: SocketAddr = simulator.address();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: test\r\n{headers}\r\n").unwrap();
    stream
}

/// Everything until the connection ends, and how it ended.
pub(crate) fn read_all(mut stream: TcpStream) -> (Vec<u8>, std::io::Result<usize>) {
    let mut received = Vec::new();
    let end = stream.read_to_end(&mut received);
    (received, end)
}

/// Head (with its empty line) and body of a response as received.
pub(crate) fn split(response: &[u8]) -> (String, Vec<u8>) {
    let end = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(response[..end].to_vec()).unwrap(), response[end..].to_vec())
}

pub(crate) const TICKERS: &str = "/coinpaprika/v1/tickers";
