//! The forms in which observations are written: a JSON document, a JSON object a line, or CSV.

use actix_web::http::header::{self, Accept, Quality};
use actix_web::{HttpMessage, HttpRequest};
use serde_json::json;
use utoipa::openapi::path::Parameter;

use crate::observation::{Fields, Observation};
use crate::params::{Choice, Params};
use crate::schemas;

/// How observations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One document.
    Json,
    /// An object a line: <https://github.com/ndjson/ndjson-spec>.
    Ndjson,
    /// RFC 4180, with a header.
    Csv,
}

impl Choice for Format {
    const ALL: &'static [(&'static str, Self)] =
        &[("json", Self::Json), ("ndjson", Self::Ndjson), ("csv", Self::Csv)];
}

impl Format {
    /// What the parameter `format` says; without it, what the client accepts.
    pub(crate) fn take(request: &HttpRequest, params: &mut Params) -> Self {
        params.optional_choice("format").unwrap_or_else(|| Self::accepted(request))
    }

    /// What `Accept` prefers. A client that accepts nothing that is offered gets JSON: RFC 9110, section 12.4.1,
    /// leaves that open, and a body that can be looked at helps more than a refusal.
    fn accepted(request: &HttpRequest) -> Self {
        if !request.headers().contains_key(header::ACCEPT) {
            return Self::Json;
        }
        let Some(Accept(ranges)) = request.get_header::<Accept>() else { return Self::Json };
        let mut best = (Self::Json, Quality::ZERO, 0);
        for range in &ranges {
            let found = match range.item.essence_str() {
                "text/csv" => Some((Self::Csv, 2)),
                "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                    Some((Self::Ndjson, 2))
                }
                "application/json" => Some((Self::Json, 2)),
                "text/*" => Some((Self::Csv, 1)),
                "application/*" => Some((Self::Json, 1)),
                "*/*" => Some((Self::Json, 0)),
                _ => None,
            };
            if let Some((format, precision)) = found
                && range.quality > Quality::ZERO
                && (range.quality, precision) > (best.1, best.2)
            {
                best = (format, range.quality, precision);
            }
        }
        best.0
    }

    /// The parameter in the OpenAPI document.
    pub(crate) fn parameter() -> Parameter {
        let text = "How the rows are written; without it `Accept` decides (`application/json`, \
                    `application/x-ndjson`, `text/csv`).";
        schemas::query("format", text, schemas::choice::<Self>()).example(Some(json!("json"))).build()
    }

    /// How it is spelt in `format` and as the ending of a file.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// Its media type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

/// Writes observations one after the other.
#[derive(Debug)]
pub(crate) struct Rows {
    format: Format,
    shown: Fields,
    is_first: bool,
}

impl Rows {
    /// Begins.
    pub(crate) fn begin(format: Format, shown: Fields, out: &mut Vec<u8>) -> Self {
        match format {
            Format::Json => out.push(b'['),
            Format::Ndjson => {}
            Format::Csv => shown.write_csv_header(out),
        }
        Self { format, shown, is_first: true }
    }

    /// Writes one.
    pub(crate) fn write(&mut self, row: &Observation, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match self.format {
            Format::Json => {
                out.extend_from_slice(if self.is_first { b"\n" } else { b",\n" });
                self.is_first = false;
                serde_json::to_writer(out, row)
            }
            Format::Ndjson => {
                serde_json::to_writer(&mut *out, row)?;
                out.push(b'\n');
                Ok(())
            }
            Format::Csv => {
                row.write_csv(self.shown, out);
                Ok(())
            }
        }
    }

    /// Ends.
    pub(crate) fn end(self, out: &mut Vec<u8>) {
        if self.format == Format::Json {
            out.extend_from_slice(b"\n]\n");
        }
    }
}
