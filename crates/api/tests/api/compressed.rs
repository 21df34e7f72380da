//! Compressed answers: the same bytes when undone, by the client's choice, and each with a tag of its own.

use std::io::Read;

use crate::pages::market;
use crate::support::{Answer, Service, service_with};

const LONG: &str = "/data?limit=100";

fn undone(answer: &Answer) -> String {
    let mut text = String::new();
    let bytes = answer.bytes.as_slice();
    match answer.header("content-encoding") {
        None => return answer.body.clone(),
        Some("gzip") => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap(),
        Some("br") => brotli::Decompressor::new(bytes, 4096).read_to_string(&mut text).unwrap(),
        Some("zstd") => zstd::Decoder::new(bytes).unwrap().read_to_string(&mut text).unwrap(),
        Some(other) => panic!("{other}"),
    };
    text
}

#[test]
fn the_client_chooses_the_coding() {
    let (database, kept) = service_with(&market());
    for service in [kept, Service::uncached(database.url())] {
        let plain = service.get(LONG);
        assert_eq!(
            (plain.header("content-encoding"), plain.header("vary")),
            (None, Some("Accept, Accept-Encoding"))
        );
        for (accepted, coding) in [
            ("gzip", Some("gzip")),
            ("br", Some("br")),
            ("zstd", Some("zstd")),
            ("gzip;q=0.5, br;q=0.9", Some("br")),
            ("gzip, zstd;q=0", Some("gzip")),
            ("identity", None),
            ("deflate", None),
            ("garbage;;;", None),
            ("", None),
        ] {
            for _ in 0..2 {
                let answer = service.request("GET", LONG, &[("Accept-Encoding", accepted)]);
                assert_eq!((answer.status, answer.header("content-encoding")), (200, coding), "{accepted}");
                assert_eq!(undone(&answer), plain.body, "{accepted}");
                assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
                if coding.is_some() {
                    assert!(answer.bytes.len() < plain.bytes.len() / 3, "{accepted}");
                    assert_ne!(answer.header("etag"), plain.header("etag"), "{accepted}");
                }
                let head = service.request("HEAD", LONG, &[("Accept-Encoding", accepted)]);
                for name in ["content-encoding", "content-length", "etag", "vary"] {
                    assert_eq!(head.header(name), answer.header(name), "{accepted} {name}");
                }
            }
        }
    }
}

#[test]
fn a_coded_answer_that_holds_is_not_sent_again() {
    let (_database, service) = service_with(&market());
    for coding in ["gzip", "br", "zstd"] {
        let tag = service.request("GET", LONG, &[("Accept-Encoding", coding)]);
        let tag = tag.header("etag").unwrap();
        let again = service.request("GET", LONG, &[("Accept-Encoding", coding), ("If-None-Match", tag)]);
        assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(tag)));
    }
}

#[test]
fn short_answers_are_left_alone() {
    let (_database, service) = service_with("");
    for path in ["/data", "/stats", "/stats/summary", "/livez"] {
        let answer = service.request("GET", path, &[("Accept-Encoding", "gzip, br, zstd")]);
        assert_eq!((answer.status, answer.header("content-encoding")), (200, None), "{path}");
    }
}
