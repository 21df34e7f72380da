//! Given bodies, compression, the journal, and the connection itself.

use std::io::Write;
use std::time::Duration;

use kasparro_testkit::simulator::{Response, Route};

use crate::support::{TICKERS, agent, connect, get, markets, read_all, simulator, split, tickers};

#[test]
fn given_bytes_arrive_unchanged() {
    let simulator = simulator();
    let body = b"[{\"id\":\"x\",\"price\":1.50e-7}] \n".to_vec();
    simulator.serve_body(Route::CoinpaprikaTickers, body.clone());
    let got = tickers(&simulator);
    assert_eq!((got.body, got.status), (body, 200));
    simulator
        .serve(Route::CoinpaprikaTickers, Response::new(418, "text/plain", "short").header("X-Own", "yes"));
    let got = tickers(&simulator);
    assert_eq!((got.status, got.header("x-own"), got.text().as_str()), (418, Some("yes"), "short"));
    simulator.serve_universe();
    assert_eq!(tickers(&simulator).items().len(), 100);
}

#[test]
fn given_pages_are_followed_by_empty_ones() {
    let simulator = simulator();
    simulator.serve_pages(Route::CoingeckoMarkets, ["[{\"id\":\"one\"}]", "[{\"id\":\"two\"}]"]);
    let pages: Vec<String> =
        (1..=3).map(|page| markets(&simulator, &format!("page={page}")).text()).collect();
    assert_eq!(pages, ["[{\"id\":\"one\"}]", "[{\"id\":\"two\"}]", "[]"]);
    simulator.serve_body(Route::CoingeckoMarkets, "[{\"id\":\"only\"}]");
    assert_eq!([1, 2].map(|page| markets(&simulator, &format!("page={page}")).items().len()), [1, 0]);
}

#[test]
fn a_path_can_be_given_a_response() {
    let simulator = simulator();
    let url = format!("{}/global", simulator.coinpaprika_base_url());
    assert_eq!(get(&url).status, 404);
    simulator.serve_at("/coinpaprika/v1/global", Response::json("{\"last_updated\":1}"));
    assert_eq!(get(&url).text(), "{\"last_updated\":1}");
}

#[test]
fn bodies_are_compressed_for_those_who_ask_until_switched_off() {
    let simulator = simulator();
    let head = |headers| {
        split(&read_all(connect(&simulator, TICKERS, &format!("{headers}Connection: close\r\n"))).0)
    };
    let (plain_head, plain) = head("");
    assert!(!plain_head.contains("Content-Encoding"));
    let (packed_head, packed) = head("Accept-Encoding: gzip\r\n");
    assert!(
        packed_head.contains("Content-Encoding: gzip") && packed_head.contains("Transfer-Encoding: chunked")
    );
    assert!(packed.len() * 2 < plain.len());
    simulator.set_gzip(false);
    assert!(!head("Accept-Encoding: gzip\r\n").0.contains("Content-Encoding"));
}

#[test]
fn the_journal_has_everything_in_order() {
    let simulator = simulator();
    let url = format!("{}/coins/markets?vs_currency=usd&page=2&ids=a%20b", simulator.coingecko_base_url());
    agent().get(&url).header("x-cg-demo-api-key", "CG-test").call().unwrap();
    simulator.advance();
    tickers(&simulator);
    let requests = simulator.requests();
    assert_eq!(
        requests.iter().map(|request| request.route).collect::<Vec<_>>(),
        [Route::CoingeckoMarkets, Route::CoinpaprikaTickers]
    );
    assert_eq!((requests[0].header("X-CG-Demo-Api-Key"), requests[0].page()), (Some("CG-test"), 2));
    assert_eq!((requests[0].parameter("ids"), requests[0].tick, requests[1].tick), (Some("a b"), 0, 1));
    assert!(requests[0].received <= requests[1].received);
    assert_eq!(simulator.requests_to(Route::AnyCoingecko).len(), 1);
    assert!(simulator.wait_for_requests(Route::Any, 2, Duration::ZERO));
    assert!(!simulator.wait_for_requests(Route::Any, 3, Duration::ZERO));
    simulator.clear_requests();
    assert!(simulator.requests().is_empty());
}

#[test]
fn a_connection_serves_many_requests() {
    let simulator = simulator();
    let agent = agent();
    for _ in 0..3 {
        let mut response = agent.get(format!("{}/ping", simulator.coingecko_base_url())).call().unwrap();
        response.body_mut().read_to_vec().unwrap();
    }
    let connections: Vec<u64> = simulator.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[test]
fn head_has_no_body_and_other_methods_are_not_allowed() {
    let simulator = simulator();
    let mut stream = connect(&simulator, "/nothing", "Connection: keep-alive\r\n");
    write!(stream, "HEAD {TICKERS} HTTP/1.1\r\nHost: x\r\n\r\nPOST {TICKERS} HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}").unwrap();
    let text = String::from_utf8(read_all(stream).0).unwrap();
    let statuses: Vec<&str> = text.lines().filter(|line| line.starts_with("HTTP/1.1")).collect();
    assert_eq!(statuses, ["HTTP/1.1 404 Not Found", "HTTP/1.1 200 OK", "HTTP/1.1 405 Method Not Allowed"]);
    assert!(!text.contains("btc-bitcoin"));
}
