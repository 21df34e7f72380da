//! Who is let in, how often, and from which pages: limits, keys, origins, bodies.

use std::num::NonZeroU32;
use std::sync::Arc;

use kasparro_api::{Admission, Config, Cors, Keys, Quota};
use kasparro_testkit::database::TestDatabase;

use crate::support::{Answer, SOURCES, Service, run};

const ALICE: &str = "canary-key-of-alice";
const BOB: &str = "canary-key-of-bob-9";

fn quota(per_minute: u32) -> Option<Quota> {
    NonZeroU32::new(per_minute).map(Quota::per_minute)
}

fn service(set: impl FnOnce(&mut Config)) -> (TestDatabase, Service) {
    let database = TestDatabase::new();
    run(&database, SOURCES);
    let service = Service::with(database.url(), set);
    (database, service)
}

fn limited(per_minute: u32, trusted: &[&str]) -> (TestDatabase, Service) {
    let trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
    service(|config| {
        config.admission = Admission { quota: quota(per_minute), trusted_proxies, ..Admission::default() };
    })
}

fn with_keys(per_minute: u32, keys_optional: bool) -> (TestDatabase, Service) {
    let keys = Arc::new(Keys::parse(&format!("alice {ALICE} 3\nbob {BOB}")).unwrap());
    service(|config| {
        config.admission =
            Admission { keys, keys_optional, quota: quota(per_minute), ..Admission::default() };
    })
}

/// Policy, requests left, and seconds until all of them are there again.
fn told(answer: &Answer) -> (String, u32, u64) {
    let limit = answer.header("ratelimit").unwrap_or_else(|| panic!("{answer:?}"));
    let number =
        |key: &str| limit.split(';').find_map(|part| part.strip_prefix(key)).unwrap().parse().unwrap();
    (answer.header("ratelimit-policy").unwrap().to_owned(), number("r=") as u32, number("t="))
}

#[test]
fn nothing_is_limited_unless_it_is_configured() {
    let (_database, service) = service(|_| ());
    for _ in 0..50 {
        let answer = service.get("/data");
        assert_eq!((answer.status, answer.header("ratelimit")), (200, None));
    }
}

#[test]
fn a_client_has_so_many_requests_and_is_told() {
    let (_database, service) = limited(3, &[]);
    for left in [2, 1, 0] {
        let answer = service.get("/data");
        assert_eq!(answer.status, 200);
        let (policy, remaining, restored) = told(&answer);
        assert_eq!((policy.as_str(), remaining), ("\"default\";q=3;w=60", left));
        assert!((1..=60).contains(&restored), "{restored}");
    }
    // Unknown routes and refusals count as well: nothing is free to guess.
    for path in ["/data", "/nowhere", "/data?limit=0", "/", "/docs/"] {
        let answer = service.get(path);
        assert_eq!((answer.status, &answer.problem()["code"]), (429, &"too_many_requests".into()), "{path}");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=20).contains(&wait), "{wait}");
        assert_eq!(told(&answer).1, 0);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    // Supervisors are never turned away.
    assert_eq!((service.get("/livez").status, service.get("/readyz").status), (200, 200));
    assert!(service.metrics().contains("status=\"429\""));
}

#[test]
fn the_limit_is_in_the_document() {
    let (_database, service) = limited(1_000, &[]);
    let document = service.json("/openapi.json");
    assert!(!document["paths"]["/data"]["get"]["responses"]["429"].is_null());
    assert!(document["paths"]["/livez"]["get"]["responses"]["429"].is_null());
}

#[test]
fn an_address_is_believed_from_a_trusted_proxy_only() {
    let from = |service: &Service, address: &str| {
        service.request("GET", "/data", &[("X-Forwarded-For", address)]).status
    };
    let (_database, open) = limited(1, &[]);
    assert_eq!(from(&open, "192.0.2.1"), 200);
    assert_eq!(from(&open, "192.0.2.2"), 429, "an address can be made up");

    let (_database, behind) = limited(1, &["127.0.0.0/8", "10.0.0.0/8"]);
    for address in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        assert_eq!((from(&behind, address), from(&behind, address)), (200, 429), "{address}");
    }
    assert_eq!(from(&behind, "198.51.100.7, 192.0.2.1"), 429, "what the client put before its address");
    assert_eq!(from(&behind, "192.0.2.1, 10.1.1.1"), 429, "the proxy before the proxy");
    assert_eq!(from(&behind, "2001:db8::2"), 429, "the same network of version 6");
}

#[test]
fn a_route_with_data_needs_a_key_where_there_are_keys() {
    let (_database, service) = with_keys(0, false);
    for path in ["/data", "/data/x", "/stats", "/stats/summary", "/nowhere"] {
        for headers in [
            &[][..],
            &[("Authorization", "Basic YWxpY2U6eA==")],
            &[("X-API-Key", "wrong")],
            &[("X-API-Key", "")],
            &[("Authorization", "Bearer wrong")],
            &[("X-API-Key", "canary-key-of-alicE")],
        ] {
            let answer = service.request("GET", path, headers);
            assert_eq!((answer.status, &answer.problem()["code"]), (401, &"unauthorized".into()), "{path}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"kasparro\""));
            assert!(!answer.body.contains("canary"), "{}", answer.body);
        }
    }
    for headers in [
        [("X-API-Key", BOB)],
        [("Authorization", &format!("Bearer {BOB}"))],
        [("Authorization", &format!("bearer  {BOB}"))],
    ] {
        assert_eq!(service.request("GET", "/stats", &headers).status, 200, "{headers:?}");
    }
    for path in ["/", "/health", "/livez", "/readyz", "/openapi.json", "/docs/", "/problems/unauthorized"] {
        assert_eq!(service.get(path).status, 200, "{path}");
    }
    let document = service.json("/openapi.json");
    let (data, health) = (&document["paths"]["/data"]["get"], &document["paths"]["/health"]["get"]);
    assert_eq!(data["security"].as_array().unwrap().len(), 2);
    assert!(!data["responses"]["401"].is_null() && health["responses"]["401"].is_null());
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

#[test]
fn a_key_has_its_own_limit() {
    let (_database, service) = with_keys(2, true);
    let status = |headers: &[(&str, &str)]| service.request("GET", "/stats", headers).status;
    for _ in 0..3 {
        assert_eq!(status(&[("X-API-Key", ALICE)]), 200);
    }
    let refused = service.request("GET", "/stats", &[("X-API-Key", ALICE)]);
    assert_eq!((refused.status, told(&refused).0.as_str()), (429, "\"key\";q=3;w=60"));
    // A key without a limit has as much as an address, in a bucket of its own.
    assert_eq!([status(&[("X-API-Key", BOB)]), status(&[("X-API-Key", BOB)])], [200, 200]);
    assert_eq!(status(&[("X-API-Key", BOB)]), 429);
    assert_eq!([status(&[]), status(&[])], [200, 200]);
    assert_eq!(status(&[]), 429);
}

#[test]
fn guessing_a_key_uses_up_the_limit() {
    let (_database, service) = with_keys(2, false);
    let guess = || service.request("GET", "/data", &[("X-API-Key", "a-guess-of-a-key-1")]).status;
    assert_eq!([guess(), guess(), guess()], [401, 401, 429]);
    assert_eq!(service.request("GET", "/data", &[("X-API-Key", ALICE)]).status, 200);
}

#[test]
fn no_page_of_another_origin_reads_answers_by_default() {
    let (_database, service) = service(|_| ());
    let evil = [("Origin", "https://evil.example")];
    let answer = service.request("GET", "/data", &evil);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
    let preflight = [evil[0], ("Access-Control-Request-Method", "GET")];
    let answer = service.request("OPTIONS", "/data", &preflight);
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (405, None));
}

#[test]
fn listed_origins_read_answers_and_others_do_not() {
    let cors = Cors::parse("https://good.example, http://localhost:3000", true).unwrap();
    let (_database, service) = service(|config| config.cors = Some(cors));
    for path in ["/data", "/nowhere", "/data?limit=0", "/livez"] {
        for (origin, allowed) in [
            (Some("https://good.example"), true),
            (Some("http://localhost:3000"), true),
            (Some("https://evil.example"), false),
            (Some("https://good.example.evil.example"), false),
            (Some("http://good.example"), false),
            (Some("null"), false),
            (None, false),
        ] {
            let headers: Vec<_> = origin.map(|origin| ("Origin", origin)).into_iter().collect();
            let answer = service.request("GET", path, &headers);
            let expected = origin.filter(|_| allowed);
            assert_eq!(answer.header("access-control-allow-origin"), expected, "{path} {origin:?}");
            assert_eq!(answer.header("access-control-allow-credentials"), allowed.then_some("true"));
            assert!(answer.header("vary").unwrap().ends_with("Origin"), "{path} {origin:?}");
            if allowed {
                let exposed = answer.header("access-control-expose-headers").unwrap();
                assert!(exposed.contains("etag") && exposed.contains("x-total-count"), "{exposed}");
                assert_eq!(answer.header("cross-origin-resource-policy"), Some("cross-origin"));
            }
        }
    }
    let preflight = |origin| {
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "DELETE")];
        service.request("OPTIONS", "/data/x", &headers)
    };
    let good = preflight("https://good.example");
    assert_eq!((good.status, good.header("access-control-allow-methods")), (204, Some("GET, HEAD")));
    assert!(good.header("access-control-allow-headers").unwrap().contains("if-none-match"));
    let evil = preflight("https://evil.example");
    assert_eq!((evil.status, evil.header("access-control-allow-methods")), (405, None));
}

#[test]
fn everybody_may_read_where_that_is_declared_but_never_with_credentials() {
    let cors = Cors::parse("*", false).unwrap();
    let (_database, service) = service(|config| config.cors = Some(cors));
    let answer = service.request("GET", "/data", &[("Origin", "https://evil.example")]);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
}

#[test]
fn a_body_is_refused_rather_than_ignored() {
    let (_database, service) = service(|_| ());
    for headers in
        [[("Content-Length", "5")], [("Content-Length", "99999999999")], [("Transfer-Encoding", "chunked")]]
    {
        let answer = service.request("GET", "/data", &headers);
        assert_eq!(
            (answer.status, &answer.problem()["code"]),
            (413, &"content_too_large".into()),
            "{headers:?}"
        );
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(service.request("GET", "/data", &[("Content-Length", "0")]).status, 200);
    assert_eq!(service.request("POST", "/data", &[("Content-Length", "5")]).status, 405);
}
