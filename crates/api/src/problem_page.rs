//! The table of errors as pages for browsers: self-contained, without scripts.

use std::fmt::Write as _;
use std::sync::LazyLock;

use actix_web::http::header::Accept;
use actix_web::{HttpMessage, HttpRequest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::problem::{Code, Kind};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;line-height:1.2}\
dt{font-weight:600;margin-top:1rem}dd{margin:0}\
code{font-family:ui-monospace,monospace;font-size:.9em}\
table{border-collapse:collapse}th,td{text-align:left;vertical-align:top;padding:.3rem 1rem .3rem 0;border-bottom:1px solid #8884}\
.status{font-variant-numeric:tabular-nums}";

/// Nothing but the style above.
pub(crate) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
});

/// Whether the client would rather have a page than JSON: a browser says so, programs ask for JSON or anything.
pub(crate) fn is_wanted(request: &HttpRequest) -> bool {
    let Some(accept) = request.get_header::<Accept>() else { return false };
    let ranked = accept.ranked();
    let first = ranked.iter().map(|mime| mime.essence_str()).find(|name| {
        matches!(*name, "text/html" | "application/xhtml+xml" | "application/json" | "application/*" | "*/*")
    });
    matches!(first, Some("text/html" | "application/xhtml+xml"))
}

/// The page of all kinds.
pub(crate) fn list() -> String {
    let mut rows = String::new();
    for kind in Code::ALL.iter().map(|code| code.kind()) {
        let _ = write!(
            rows,
            "<tr><td class=\"status\">{}</td><td><a href=\"/problems/{code}\"><code>{code}</code></a></td><td>{}</td></tr>",
            kind.status,
            escaped(kind.title),
            code = kind.code,
        );
    }
    page(
        "Problems",
        &format!(
            "<h1>What can go wrong</h1><p>Every failure is <code>application/problem+json</code> (RFC 9457) with one \
             of these codes.</p><table><thead><tr><th>Status</th><th>Code</th><th>Title</th></tr></thead>\
             <tbody>{rows}</tbody></table>"
        ),
    )
}

/// The page of one kind.
pub(crate) fn one(kind: &Kind) -> String {
    page(
        kind.title,
        &format!(
            "<h1>{}</h1><dl><dt>Code</dt><dd><code>{}</code></dd><dt>Status</dt><dd class=\"status\">{}</dd>\
             <dt>When</dt><dd>{}</dd><dt>What to do</dt><dd>{}</dd></dl>\
             <p><a href=\"/problems\">All problems</a></p>",
            escaped(kind.title),
            kind.code,
            kind.status,
            with_code(kind.meaning),
            with_code(kind.remedy),
        ),
    )
}

fn page(title: &str, content: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{} - Kasparro</title>\
         <style>{STYLE}</style></head><body>{content}</body></html>\n",
        escaped(title)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What stands between backticks is code.
fn with_code(text: &str) -> String {
    let mut html = String::new();
    for (number, part) in text.split('`').enumerate() {
        let part = escaped(part);
        html += &if number % 2 == 1 { format!("<code>{part}</code>") } else { part };
    }
    html
}
