//! Faults in what is answered.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use kasparro_testkit::simulator::{Fault, Route};

use crate::support::{get, markets, simulator, tickers, try_get};

#[test]
fn counted_faults_strike_in_order_and_standing_ones_after_them() {
    let simulator = simulator();
    simulator.fault(Route::Any, Fault::status(500)).always();
    simulator.fault(Route::CoinpaprikaTickers, Fault::status(503)).times(2);
    simulator.fault(Route::AnyCoinpaprika, Fault::status(429)).once();
    assert_eq!(simulator.pending_faults(), 3);
    let statuses: Vec<u16> = (0..5).map(|_| tickers(&simulator).status).collect();
    assert_eq!(statuses, [503, 503, 429, 500, 500]);
    simulator.clear_faults();
    assert_eq!(tickers(&simulator).status, 200);
}

#[test]
fn faults_can_be_for_a_page_or_for_every_nth_request() {
    let simulator = simulator();
    simulator.fault(Route::CoingeckoMarkets, Fault::status(502)).on_page(2).once();
    let statuses = [1, 2, 2].map(|page| markets(&simulator, &format!("page={page}")).status);
    assert_eq!(statuses, [200, 502, 200]);
    simulator.fault(Route::CoinpaprikaTickers, Fault::status(503)).every(3);
    let statuses: Vec<u16> = (0..6).map(|_| tickers(&simulator).status).collect();
    assert_eq!(statuses, [200, 200, 503, 200, 200, 503]);
}

#[test]
fn status_codes_come_in_the_words_of_the_vendor() {
    let simulator = simulator();
    simulator.fault(Route::Any, Fault::status(429).retry_after_secs(1)).times(2);
    let (paprika, gecko) = (tickers(&simulator), markets(&simulator, ""));
    assert_eq!(paprika.text(), "{\"error\":\"you have reached maximum request limit\"}\n");
    assert_eq!(gecko.json()["status"]["error_code"], 429);
    assert_eq!((paprika.header("retry-after"), gecko.header("retry-after")), (Some("1"), Some("1")));
    for status in [400, 401, 402, 403, 404, 410, 451, 500, 502, 503, 504] {
        simulator.fault(Route::Any, Fault::status(status)).times(2);
        assert_eq!((tickers(&simulator).status, markets(&simulator, "").status), (status, status));
    }
}

#[test]
fn retry_after_comes_in_every_form() {
    let simulator = simulator();
    let value = |fault: Fault, name: &str| {
        simulator.fault(Route::Any, fault).once();
        tickers(&simulator).header(name).unwrap().to_owned()
    };
    for text in ["garbage", "-5", "1000000000", "0"] {
        assert_eq!(value(Fault::status(429).retry_after(text), "retry-after"), text);
    }
    let date = |text: String| DateTime::parse_from_rfc2822(&text).unwrap().with_timezone(&Utc) - Utc::now();
    let hour = Duration::from_secs(3_600);
    let ahead = date(value(Fault::status(503).retry_after_date(hour), "retry-after")).num_minutes();
    let behind = date(value(Fault::status(503).retry_after_past_date(hour), "retry-after")).num_minutes();
    assert!((58..=60).contains(&ahead) && (-61..=-60).contains(&behind), "{ahead} {behind}");
    let reset = value(Fault::status(429).rate_limit_reset(hour), "x-ratelimit-reset");
    let reset =
        NaiveDateTime::parse_from_str(&reset, "%Y-%m-%d %H:%M:%S +0000").unwrap().and_utc() - Utc::now();
    assert!((58..=60).contains(&reset.num_minutes()));
}

#[test]
fn successes_that_are_none() {
    let simulator = simulator();
    let got = |fault: Fault| {
        simulator.fault(Route::Any, fault).once();
        tickers(&simulator)
    };
    let portal = got(Fault::captive_portal());
    assert_eq!((portal.status, portal.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!((got(Fault::empty_body()).status, got(Fault::empty_body()).body.len()), (200, 0));
    assert_eq!((got(Fault::no_content()).status, got(Fault::no_content()).body.len()), (204, 0));
    assert_eq!(got(Fault::empty_list()).text(), "[]");
    assert!(got(Fault::error_in_200()).json()["error"].is_string());
    assert!(
        got(Fault::rate_limit_in_200()).json()["error"].as_str().unwrap().contains("maximum request limit")
    );
    simulator.fault(Route::Any, Fault::rate_limit_in_200()).once();
    let gecko = markets(&simulator, "");
    assert_eq!((gecko.status, &gecko.json()["status"]["error_code"]), (200, &429.into()));
    assert_eq!(got(Fault::coingecko_wrong_host()).json()["status"]["error_code"], 10_011);
}

#[test]
fn redirects_go_where_they_should_not() {
    let simulator = simulator();
    let location = |fault: Fault| {
        simulator.fault(Route::Any, fault).once();
        let got = tickers(&simulator);
        assert!((300..400).contains(&got.status));
        got.header("location").unwrap().to_owned()
    };
    assert_eq!(location(Fault::redirect_to_self()), "/coinpaprika/v1/tickers");
    simulator.fault(Route::CoingeckoMarkets, Fault::redirect_to_self()).always();
    let endless =
        ureq::get(format!("{}/coins/markets?vs_currency=usd", simulator.coingecko_base_url())).call();
    assert!(matches!(endless, Err(ureq::Error::TooManyRedirects)), "{endless:?}");
    assert_eq!(
        location(Fault::redirect(308, "http://other.invalid/tickers")),
        "http://other.invalid/tickers"
    );
    assert!(location(Fault::redirect_to_metadata_service()).starts_with("http://169.254.169.254/"));
}

#[test]
fn bodies_drift_from_their_schema() {
    let simulator = simulator();
    let body = |fault: Fault| {
        simulator.fault(Route::Any, fault).once();
        tickers(&simulator)
    };
    let usual = tickers(&simulator);
    assert_eq!(body(Fault::keep_percent(10)).items(), usual.items()[..10]);
    assert_eq!(
        body(Fault::rename_field("price", "last_price")).text(),
        usual.text().replace("\"price\":", "\"last_price\":")
    );
    assert!(!body(Fault::remove_field("symbol")).text().contains("\"symbol\""));
    assert!(body(Fault::add_field("new_field", "[1]")).items().iter().all(|item| item["new_field"][0] == 1));
    let texts = body(Fault::number_as_string("price"));
    assert!(texts.items().iter().all(|item| item["quotes"]["USD"]["price"].is_string()));
    assert_eq!(
        texts.items()[0]["quotes"]["USD"]["price"],
        usual.items()[0]["quotes"]["USD"]["price"].to_string()
    );
    assert!(body(Fault::number_as_object("price")).items()[3]["quotes"]["USD"]["price"].is_object());
    let one = body(Fault::set_field_of(2, "last_updated", "\"2036-01-01T00:00:00Z\"")).items();
    assert_eq!(one.iter().filter(|item| item["last_updated"] == "2036-01-01T00:00:00Z").count(), 1);
    let both = body(Fault::set_field("price", "-1").and(Fault::keep_percent(2))).items();
    assert!(both.len() == 2 && both.iter().all(|item| item["quotes"]["USD"]["price"] == -1));
    assert!(body(Fault::set_field("price", "1e400")).text().contains("\"price\":1e400"));
}

#[test]
fn ids_come_twice_with_the_same_values_or_others() {
    let simulator = simulator();
    simulator.fault(Route::Any, Fault::duplicate_items(3)).once();
    let same = tickers(&simulator).items();
    assert_eq!((same.len(), &same[100..]), (103, &same[..3]));
    simulator.fault(Route::Any, Fault::duplicate_items_with(1, "price", "1.25")).once();
    let other = tickers(&simulator).items();
    assert_eq!((&other[100]["id"], &other[100]["quotes"]["USD"]["price"]), (&other[0]["id"], &1.25.into()));
}

#[test]
fn text_is_broken_in_every_way() {
    let simulator = simulator();
    let body = |fault: Fault| {
        simulator.fault(Route::Any, fault).once();
        tickers(&simulator).body
    };
    assert!(body(Fault::utf8_bom()).starts_with(b"\xef\xbb\xbf[{"));
    assert!(String::from_utf8(body(Fault::invalid_utf8())).is_err());
    assert!(body(Fault::nul_byte()).contains(&0));
    let escaped = String::from_utf8(body(Fault::escaped_nul())).unwrap();
    assert!(
        escaped.contains("\"name\":\"\\u0000Bitcoin\"")
            && serde_json::from_str::<serde_json::Value>(&escaped).is_ok()
    );
    let surrogate = String::from_utf8(body(Fault::lone_surrogate())).unwrap();
    assert!(surrogate.contains("\\ud83d") && serde_json::from_str::<serde_json::Value>(&surrogate).is_err());
}

#[test]
fn pages_repeat_or_never_end() {
    let simulator = simulator();
    let first = markets(&simulator, "per_page=40&page=1").body;
    simulator.fault(Route::CoingeckoMarkets, Fault::repeat_first_page()).once();
    assert_eq!(markets(&simulator, "per_page=40&page=3").body, first);
    simulator.fault(Route::CoingeckoMarkets, Fault::endless_pages()).always();
    let ids: std::collections::BTreeSet<String> =
        (1..=9).flat_map(|page| markets(&simulator, &format!("per_page=50&page={page}")).ids()).collect();
    assert_eq!(ids.len(), 450);
}

#[test]
fn a_label_that_lies_about_compression_is_an_error_to_the_client() {
    let simulator = simulator();
    simulator.fault(Route::Any, Fault::false_gzip_label()).once();
    assert!(try_get(&format!("{}/tickers", simulator.coinpaprika_base_url())).is_err());
    assert_eq!(get(&format!("{}/tickers", simulator.coinpaprika_base_url())).status, 200);
}
