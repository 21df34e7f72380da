//! The answer to a request when nothing goes wrong.

use super::coin::Vendor;
use super::coingecko::{self, MarketsQuery};
use super::coinpaprika;
use super::edit::Edit;
use super::fault::Paging;
use super::fault_catalogue::redirect;
use super::given::Given;
use super::random::hash;
use super::request::Request;
use super::response::{Response, http_date};
use super::route::Route;
use super::universe::World;
use super::vendor_errors::{coingecko_error, failure};

/// Answers from what a test gave, else from the universe as it is at a tick.
pub(crate) fn usual(world: &World, given: &Given, request: &Request, tick: i64, paging: Paging) -> Response {
    if let Some(response) = given.find(request) {
        return response;
    }
    if request.method != "GET" && request.method != "HEAD" {
        return failure(request.route.vendor(), 405).header("Allow", "GET, HEAD");
    }
    let response = match request.route.vendor() {
        Some(Vendor::Coinpaprika) => from_coinpaprika(world, request, tick),
        Some(Vendor::Coingecko) => from_coingecko(world, request, tick, paging),
        None => None,
    };
    let response = response.unwrap_or_else(|| failure(request.route.vendor(), 404));
    if not_modified(request, &response) { Response { status: 304, ..response } } else { response }
}

/// A body with the headers the vendor sends with that route (as recorded in 2021 and 2022).
pub(crate) fn dressed(route: Route, body: impl Into<Vec<u8>>) -> Response {
    let body = body.into();
    match route.vendor() {
        Some(Vendor::Coingecko) => dressed_by_coingecko(route, body),
        _ => dressed_by_coinpaprika(route, body),
    }
}

fn dressed_by_coinpaprika(route: Route, body: Vec<u8>) -> Response {
    let response = Response::new(200, "application/json; charset=UTF-8", body);
    match route {
        Route::CoinpaprikaTicker | Route::CoinpaprikaCoin => response
            .header("Accept-Ranges", "bytes")
            .header(
                "Cache-Control",
                "public, max-age=60, s-maxage=60, stale-while-revalidate=10, stale-if-error=600",
            )
            .header("Vary", "Accept-Encoding, Origin"),
        Route::CoinpaprikaCoins => {
            response.header("Cache-Control", "max-age=60, public").header("Vary", "Origin").chunked()
        }
        _ => response.header("Vary", "Origin").chunked(),
    }
}

fn dressed_by_coingecko(route: Route, body: Vec<u8>) -> Response {
    let words: Vec<u64> = body
        .chunks(8)
        .map(|bytes| bytes.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)))
        .collect();
    let (left, right) = (hash(1, &words), hash(2, &words));
    let cache = if route == Route::CoingeckoList {
        "max-age=30, public, must-revalidate, s-maxage=300"
    } else {
        "max-age=30, public, must-revalidate, s-maxage=30"
    };
    Response::new(200, "application/json; charset=utf-8", body)
        .header("Cache-Control", cache)
        .header("ETag", format!("W/\"{left:016x}{right:016x}\""))
        .header("Vary", "Accept-Encoding, Origin")
        .header("Access-Control-Allow-Origin", "*")
        .header("Access-Control-Expose-Headers", "link, per-page, total")
        .header(
            "X-Request-Id",
            format!(
                "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                left >> 32,
                left & 0xffff,
                right & 0xfff,
                (left >> 16) & 0xfff,
                right >> 16
            ),
        )
        .header("X-Runtime", "0.034821")
        .chunked()
}

fn from_coinpaprika(world: &World, request: &Request, tick: i64) -> Option<Response> {
    let target = Route::of_path(&request.path);
    let parameter = target.parameter.unwrap_or_default();
    let route = target.route;
    // Recorded both ways: an id may end in a slash, a list is redirected to the form without, by a relative path.
    if target.trailing_slash && !matches!(route, Route::CoinpaprikaTicker | Route::CoinpaprikaCoin) {
        return Some(redirect(301, &without_slash(request)));
    }
    let body = match route {
        Route::CoinpaprikaTickers => coinpaprika::tickers(world, tick),
        Route::CoinpaprikaTicker => {
            let (body, updated) = coinpaprika::single_ticker(world, &parameter, tick)?;
            return Some(dressed(route, body).header("Last-Modified", http_date(updated)));
        }
        Route::CoinpaprikaCoins => coinpaprika::coins(world, tick),
        Route::CoinpaprikaCoin => coinpaprika::single_coin(world, &parameter, tick)?,
        Route::CoinpaprikaPlatforms => coinpaprika::platforms(),
        Route::CoinpaprikaContracts => coinpaprika::contracts(world, &parameter)?,
        _ => return None,
    };
    Some(dressed(route, body))
}

fn without_slash(request: &Request) -> String {
    let query = request.target.strip_prefix(&request.path).unwrap_or_default();
    format!("{}{query}", request.path.trim_end_matches('/'))
}

fn from_coingecko(world: &World, request: &Request, tick: i64, paging: Paging) -> Option<Response> {
    // Requests without a User-Agent are turned away by the network in front of the API (reported by users).
    if request.header("user-agent").is_none_or(str::is_empty) {
        return Some(failure(Some(Vendor::Coingecko), 403));
    }
    let body = match request.route {
        Route::CoingeckoMarkets => return Some(markets(world, request, tick, paging)),
        Route::CoingeckoList => coingecko::list(world, request.parameter("include_platform") == Some("true")),
        Route::CoingeckoPing => "{\"gecko_says\":\"(V3) To the Moon!\"}".to_owned(),
        _ => return None,
    };
    Some(dressed(request.route, body))
}

fn markets(world: &World, request: &Request, tick: i64, paging: Paging) -> Response {
    match request.parameter("vs_currency") {
        None | Some("") => return coingecko_error(422, "Missing parameter vs_currency"),
        Some(currency) if !currency.eq_ignore_ascii_case("usd") => {
            return coingecko_error(400, "invalid vs_currency");
        }
        Some(_) => {}
    }
    let mut query = markets_query(request);
    let again = match paging {
        Paging::Usual => 0,
        Paging::AlwaysFirst => {
            query.page = 1;
            0
        }
        Paging::Endless => {
            let pages = coingecko::page_count(world, query.per_page).max(1);
            let again = (query.page - 1) / pages;
            query.page = (query.page - 1) % pages + 1;
            again
        }
    };
    let mut body = coingecko::markets(world, &query, tick).into_bytes();
    if again > 0 {
        body = Edit::SuffixIds { suffix: format!("-again-{again}") }.apply(body);
    }
    dressed(Route::CoingeckoMarkets, body)
}

fn markets_query(request: &Request) -> MarketsQuery {
    let list = |name| -> Vec<String> {
        let values =
            request.parameter(name).unwrap_or_default().split(',').map(|value| value.trim().to_owned());
        values.filter(|value| !value.is_empty()).collect()
    };
    MarketsQuery {
        page: request.page(),
        // 251 silently returns 250 (recorded).
        per_page: request
            .parameter("per_page")
            .and_then(|text| text.parse().ok())
            .unwrap_or(100)
            .clamp(1, 250),
        by_id: request.parameter("order") == Some("id_asc"),
        ids: list("ids"),
        full_precision: request.parameter("precision") == Some("full"),
        windows: list("price_change_percentage"),
    }
}

fn not_modified(request: &Request, response: &Response) -> bool {
    let tag = response.header_text("ETag");
    tag.is_some() && response.status == 200 && request.header("if-none-match") == tag.as_deref()
}
