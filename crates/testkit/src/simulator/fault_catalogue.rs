//! The faults there are, by the names tests ask for them.

use std::time::Duration;

use super::edit::Edit;
use super::fault::{Answer, Delivery, Fault, Paging};
use super::response::{Body, Response};

/// Another answer than the usual one.
impl Fault {
    /// A status code with the body and content type the vendor sends with it.
    pub fn status(status: u16) -> Self {
        Self::with_answer(Answer::Failure(status))
    }

    /// Exactly this response.
    pub fn respond(response: Response) -> Self {
        Self::with_answer(Answer::Given(response))
    }

    /// These bytes as JSON with status 200.
    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Self::respond(Response::json(body))
    }

    /// The login page of somebody's Wi-Fi: 200 and HTML.
    pub fn captive_portal() -> Self {
        let page = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>Please sign in to go online.</body></html>\n";
        Self::respond(Response::new(200, "text/html; charset=utf-8", page))
    }

    /// 200 with no body at all.
    pub fn empty_body() -> Self {
        Self::body("")
    }

    /// 204 without a body.
    pub fn no_content() -> Self {
        Self::respond(Response::json("").status(204))
    }

    /// `[]` with 200.
    pub fn empty_list() -> Self {
        Self::body("[]")
    }

    /// The vendor's error object with status 200.
    pub fn error_in_200() -> Self {
        Self::with_answer(Answer::ErrorIn200)
    }

    /// The vendor's words for a rate limit with status 200.
    pub fn rate_limit_in_200() -> Self {
        Self::with_answer(Answer::RateLimitIn200)
    }

    /// CoinGecko's refusal of a key that belongs to the other host: 400 with `error_code` 10011.
    pub fn coingecko_wrong_host() -> Self {
        let message = "If you are using Demo API key, please change your root URL.";
        Self::respond(super::vendor_errors::coingecko_status(400, 10_011, message))
    }

    /// A redirect with any `Location`; relative ones stay on this host. The body is HTML, as recorded.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::respond(redirect(status, location))
    }

    /// A redirect to the URL that was asked for: with [`always`](super::Placement::always) a loop.
    pub fn redirect_to_self() -> Self {
        Self::with_answer(Answer::RedirectToSelf)
    }

    /// A redirect to the address at which clouds serve the credentials of a machine.
    pub fn redirect_to_metadata_service() -> Self {
        Self::redirect(302, "http://169.254.169.254/latest/meta-data/")
    }
}

/// The usual answer, or one too large to hold, sent in a way that breaks or takes time.
impl Fault {
    /// A body whose `Content-Length` is not its length.
    pub fn lying_content_length(length: u64) -> Self {
        Self::usual().header("Content-Length", length.to_string()).and_close_after_body()
    }

    /// A valid beginning of an array that never ends, uncompressed and in chunks.
    pub fn endless_body() -> Self {
        Self::respond(Response { body: Body::Spaces(u64::MAX), ..Response::json("").chunked() })
    }

    /// So many bytes of white space after `[`, uncompressed, with the true `Content-Length`.
    pub fn huge_body(bytes: u64) -> Self {
        Self::respond(Response { body: Body::Spaces(bytes), ..Response::json("") })
    }

    /// The same compressed: about a thousandth of the size on the wire.
    pub fn gzip_bomb(decompressed_bytes: u64) -> Self {
        let response =
            Response { body: Body::GzippedSpaces(decompressed_bytes), ..Response::json("").chunked() };
        Self::respond(response.header("Content-Encoding", "gzip"))
    }

    /// The usual body uncompressed, labelled `Content-Encoding: gzip`.
    pub fn false_gzip_label() -> Self {
        Self { claims_gzip: true, ..Self::usual() }
    }

    /// The first bytes only, under the `Content-Length` of all.
    pub fn truncate_at(bytes: usize) -> Self {
        Self::usual().delivered(Delivery::Truncated(bytes))
    }

    /// The first bytes only, in chunks the last of which is cut.
    pub fn cut_chunked_at(bytes: usize) -> Self {
        Self::usual().delivered(Delivery::CutChunk(bytes))
    }

    /// A TCP reset instead of a response.
    pub fn reset() -> Self {
        Self::usual().delivered(Delivery::ResetBeforeHead)
    }

    /// A TCP reset after the head and so many bytes of the body.
    pub fn reset_after(bytes: usize) -> Self {
        Self::usual().delivered(Delivery::ResetAfter(bytes))
    }

    /// The connection is accepted and the request read, and nothing comes back.
    pub fn silence() -> Self {
        Self::usual().delivered(Delivery::Silence)
    }

    /// The head and so many bytes, then nothing more.
    pub fn silence_after(bytes: usize) -> Self {
        Self::usual().delivered(Delivery::SilenceAfter(bytes))
    }

    /// The usual body in small pieces.
    pub fn drip(bytes: usize, interval: Duration) -> Self {
        Self::usual().and_drip(bytes, interval)
    }

    /// The usual response, some time later.
    pub fn delay(delay: Duration) -> Self {
        Self { delay, ..Self::usual() }
    }

    /// The usual response once [`Simulator::release`](super::Simulator::release) is called.
    pub fn hold() -> Self {
        Self::usual().delivered(Delivery::Held)
    }
}

/// The usual answer with something wrong inside.
impl Fault {
    /// The state of so many ticks ago, as an origin that lags behind serves it.
    pub fn ticks_behind(ticks: i64) -> Self {
        Self { ticks_behind: ticks, ..Self::usual() }
    }

    /// Only the first so many per cent of the items.
    pub fn keep_percent(percent: usize) -> Self {
        Self::edited(Edit::Keep { percent })
    }

    /// A field of every item under another name.
    pub fn rename_field(field: &str, to: &str) -> Self {
        Self::edited(Edit::Rename { field: field.into(), to: to.into() })
    }

    /// A field missing from every item.
    pub fn remove_field(field: &str) -> Self {
        Self::edited(Edit::Remove { field: field.into() })
    }

    /// A field more in every item; the value is JSON.
    pub fn add_field(field: &str, json: &str) -> Self {
        Self::edited(Edit::Add { field: field.into(), literal: json.into() })
    }

    /// A field's numbers in quotes.
    pub fn number_as_string(field: &str) -> Self {
        Self::edited(Edit::Wrap { field: field.into(), before: "\"", after: "\"" })
    }

    /// A field's numbers inside an object.
    pub fn number_as_object(field: &str) -> Self {
        Self::edited(Edit::Wrap { field: field.into(), before: "{\"value\":", after: "}" })
    }

    /// A field of every item set to a JSON value, valid or not: `1e400`, `NaN`, `"2036-01-01T00:00:00Z"`.
    pub fn set_field(field: &str, json: &str) -> Self {
        Self::edited(Edit::Set { item: None, field: field.into(), literal: json.into() })
    }

    /// The same for one item, counted from 0.
    pub fn set_field_of(item: usize, field: &str, json: &str) -> Self {
        Self::edited(Edit::Set { item: Some(item), field: field.into(), literal: json.into() })
    }

    /// The first items again at the end, the same to the byte.
    pub fn duplicate_items(count: usize) -> Self {
        Self::edited(Edit::Duplicate { count, change: None })
    }

    /// The first items again at the end, with another value in one field.
    pub fn duplicate_items_with(count: usize, field: &str, json: &str) -> Self {
        Self::edited(Edit::Duplicate { count, change: Some((field.into(), json.into())) })
    }

    /// Page 1 of `/coins/markets` whatever page is asked for.
    pub fn repeat_first_page() -> Self {
        Self { paging: Paging::AlwaysFirst, ..Self::usual() }
    }

    /// Full pages of `/coins/markets` with new ids however far one goes.
    pub fn endless_pages() -> Self {
        Self { paging: Paging::Endless, ..Self::usual() }
    }

    /// A byte order mark before the body.
    pub fn utf8_bom() -> Self {
        Self::edited(Edit::Prefix(b"\xef\xbb\xbf"))
    }

    /// Bytes that are not UTF-8 inside the first item's name.
    pub fn invalid_utf8() -> Self {
        Self::edited(Edit::IntoFirstName(b"\xc3\x28\xff"))
    }

    /// A raw NUL byte inside the first item's name.
    pub fn nul_byte() -> Self {
        Self::edited(Edit::IntoFirstName(b"\0"))
    }

    /// An escaped NUL, which is valid JSON, inside the first item's name.
    pub fn escaped_nul() -> Self {
        Self::edited(Edit::IntoFirstName(b"\\u0000"))
    }

    /// Half of a surrogate pair, escaped, inside the first item's name.
    pub fn lone_surrogate() -> Self {
        Self::edited(Edit::IntoFirstName(b"\\ud83d"))
    }
}

/// A redirect with the HTML body of Go's standard library, which is what CoinPaprika's look like.
pub(crate) fn redirect(status: u16, location: &str) -> Response {
    let body = format!("<a href=\"{location}\">{}</a>.\n\n", super::response::reason(status));
    Response::new(status, "text/html; charset=utf-8", body).header("Location", location)
}
