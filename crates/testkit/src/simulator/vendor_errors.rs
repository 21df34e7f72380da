//! How each vendor words its failures: the 404, 422 and 500 as recorded, the others as documented or reported by users.

use super::coin::Vendor;
use super::response::Response;

/// The response a vendor gives with a status code.
pub(crate) fn failure(vendor: Option<Vendor>, status: u16) -> Response {
    match (vendor, status) {
        // 502 to 504 come from the network in front of the API, whoever's API it is.
        (_, 502..=504) => gateway(status),
        (Some(Vendor::Coingecko), _) => coingecko(status),
        _ => coinpaprika(status),
    }
}

/// A CoinPaprika error: `{"error":"…"}`, a newline, and a content type without charset.
pub(crate) fn coinpaprika_error(status: u16, message: &str) -> Response {
    Response::new(status, "application/json", format!("{{\"error\":\"{message}\"}}\n"))
}

/// CoinGecko's errors of the kind `{"error":"…"}`.
pub(crate) fn coingecko_error(status: u16, message: &str) -> Response {
    Response::new(status, "application/json; charset=utf-8", format!("{{\"error\":\"{message}\"}}"))
        .header("Cache-Control", "no-cache")
        .chunked()
}

/// CoinGecko's errors of the kind `{"status":{"error_code":…}}`.
pub(crate) fn coingecko_status(status: u16, code: u32, message: &str) -> Response {
    let body = format!("{{\"status\":{{\"error_code\":{code},\"error_message\":\"{message}\"}}}}");
    Response::new(status, "application/json", body)
}

fn coinpaprika(status: u16) -> Response {
    let message = match status {
        400 => "invalid parameters",
        402 => "This data is not allowed in this plan. Check plans on coinpaprika.com",
        403 => "forbidden",
        404 => "id not found",
        429 => "you have reached maximum request limit",
        500 => "internal server error",
        _ => "error",
    };
    coinpaprika_error(status, message)
}

fn coingecko(status: u16) -> Response {
    match status {
        401 => coingecko_status(401, 10_002, "API Key Missing"),
        // The block of the network in front of it: not JSON.
        403 => Response::new(403, "text/plain; charset=UTF-8", "error code: 1020"),
        404 => coingecko_error(404, "coin not found"),
        429 => {
            coingecko_status(429, 429, "You have exceeded the rate limit. Please wait before you ask again.")
        }
        500 => Response::new(
            500,
            "application/json; charset=UTF-8",
            "{\"status\":500,\"error\":\"Internal Server Error\"}",
        ),
        _ => coingecko_error(status, "error"),
    }
}

fn gateway(status: u16) -> Response {
    let reason = super::response::reason(status);
    let body = format!(
        "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    Response::new(status, "text/html", body)
}
