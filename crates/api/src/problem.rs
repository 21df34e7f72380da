//! Every failure that a client can see: one table, one body (RFC 9457), rendered in one place.
//!
//! A handler returns a [`Problem`]; the middleware in [`crate::observe`] gives it the request id, writes the
//! body and logs the cause. Nothing of the cause ever reaches the client.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::ToSchema;

/// Media type of every failure.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Seconds after which a client may try again what failed for want of the database.
const RETRY_AFTER_SECS: u64 = 1;

/// How to send a key, for a client that has sent none.
const CHALLENGE: &str = "Bearer realm=\"kasparro\"";

/// One row of the table of errors.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Kind {
    /// Stable name.
    #[schema(value_type = String, example = "invalid_parameter")]
    pub(crate) code: &'static str,
    /// Status of the answer.
    #[schema(example = 422)]
    pub(crate) status: u16,
    /// What it is, in a few words.
    #[schema(value_type = String, example = "A parameter cannot be accepted")]
    pub(crate) title: &'static str,
    /// When it happens.
    #[schema(value_type = String)]
    pub(crate) meaning: &'static str,
    /// What the client can do.
    #[schema(value_type = String)]
    pub(crate) remedy: &'static str,
}

macro_rules! codes {
    ($($variant:ident = $code:literal, $status:literal, $title:literal, $meaning:literal, $remedy:literal;)+) => {
        /// What can go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($variant,)+
        }

        impl Code {
            /// All of them, in the order of their status.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The row of the table.
            pub(crate) const fn kind(self) -> &'static Kind {
                match self {
                    $(Self::$variant => &Kind {
                        code: $code, status: $status, title: $title, meaning: $meaning, remedy: $remedy,
                    },)+
                }
            }
        }
    };
}

codes! {
    MalformedRequest = "malformed_request", 400, "The request cannot be read",
        "The address holds percent-encoding that is broken or is not UTF-8, or the request is not HTTP.",
        "Percent-encode the UTF-8 bytes of the parameters.";
    Unauthorized = "unauthorized", 401, "A key is needed",
        "Whoever runs the service gives out keys: the request has none, or one that is not known.",
        "Send the key as `Authorization: Bearer KEY` or as `X-API-Key: KEY`.";
    UnknownRoute = "unknown_route", 404, "There is nothing at this address",
        "No route of the service has this path.",
        "GET / names the endpoints, /docs describes them.";
    UnknownCoin = "unknown_coin", 404, "There is no such coin",
        "No source (or not the one asked for) has delivered a coin with this id.",
        "GET /data lists the coins with their ids; ids are compared case by case.";
    UnknownAsset = "unknown_asset", 404, "There is no such asset",
        "No asset has this id, and no source has delivered a coin with it that belongs to an asset.",
        "GET /assets lists the assets; `q` finds them by name, symbol or any source's id.";
    UnknownObservation = "unknown_observation", 404, "There is no such observation",
        "No observation has this id, or it was removed with its month.",
        "GET /data lists the observations with their ids.";
    UnknownRun = "unknown_run", 404, "There is no such run",
        "The ETL has no launch of this number on record.",
        "GET /runs lists the launches.";
    UnknownProblem = "unknown_problem", 404, "There is no such problem",
        "The table of errors has no row of this name.",
        "Follow the `type` of a problem as it was sent.";
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here",
        "The service only reads: every route answers GET and HEAD.",
        "Use one of the methods that the Allow header names.";
    HeadTimeout = "head_timeout", 408, "The request came too slowly",
        "The head of the request was not complete within 5 seconds. The answer has no body: it comes before there is a \
         request.",
        "Send the head at once.";
    ContentTooLarge = "content_too_large", 413, "A body is not wanted",
        "The request has a body. No route of the service reads one, so it would be ignored.",
        "Send parameters in the address.";
    InvalidParameter = "invalid_parameter", 422, "A parameter cannot be accepted",
        "A parameter is unknown, repeated, empty, out of range, or contradicts another one.",
        "`errors` names each parameter with what is allowed.";
    ExportTooLarge = "export_too_large", 422, "The export has too many rows",
        "An export is whole or it is refused: what the filters leave is more than this service exports at once.",
        "Narrow it down (`from` and `to` month by month, `source`, `crypto_id`), or walk the pages of /data by cursor.";
    TooManyRequests = "too_many_requests", 429, "Too many requests",
        "The limit of the client, which the headers RateLimit-Policy and RateLimit tell, is used up.",
        "Try again after the seconds in Retry-After.";
    HeadTooLarge = "head_too_large", 431, "The head of the request is too long",
        "The head is longer than 128 KiB or has more than 96 headers. The answer has no body: it comes before there is \
         a request.",
        "Send fewer and shorter headers.";
    Internal = "internal", 500, "The service failed",
        "Something unexpected happened; it is in the log of the service under the request id.",
        "Report the request id.";
    DatabaseUnavailable = "database_unavailable", 503, "The database cannot be reached",
        "The service has no connection to its database at the moment.",
        "Try again after the seconds in Retry-After; the service heals by itself.";
    Busy = "busy", 503, "The service is busy",
        "No connection to the database was free in time, the database did not answer in time, or as many exports are \
         running as may run at once.",
        "Try again after the seconds in Retry-After.";
    ShuttingDown = "shutting_down", 503, "The service is about to stop",
        "The service was told to stop: it answers what is in flight and is not ready for more.",
        "Ask another instance, or try again after the seconds in Retry-After.";
    SchemaMismatch = "schema_mismatch", 503, "The tables do not fit the service",
        "The database has no tables yet, or those of another version.",
        "Whoever runs the service migrates the database: `kasparro-etl migrate`.";
}

impl Code {
    /// Address of the page about it, relative to the service: the `type` of the problem.
    pub(crate) fn type_uri(self) -> String {
        format!("/problems/{}", self.kind().code)
    }

    fn status(self) -> StatusCode {
        StatusCode::from_u16(self.kind().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The row for a bare status that the HTTP library answered with.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::UnknownRoute,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            status if status.is_client_error() => Self::MalformedRequest,
            _ => Self::Internal,
        }
    }
}

/// One parameter that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ParameterError {
    /// Name of the parameter.
    #[schema(example = "sort_by")]
    pub(crate) parameter: String,
    /// What is wrong with it.
    #[schema(example = "`price` is not allowed: did you mean `price_usd`?")]
    pub(crate) message: String,
    /// What is allowed.
    #[schema(example = "one of created_at, price_usd, market_cap_usd")]
    pub(crate) allowed: String,
}

/// A failure on its way to the client.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    errors: Vec<ParameterError>,
    cause: Option<String>,
    /// Seconds until another try makes sense.
    retry_after: Option<u64>,
}

impl Problem {
    /// A failure with one sentence for the client.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after = (code.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_SECS);
        Self { code, detail: detail.into(), errors: Vec::new(), cause: None, retry_after }
    }

    /// Parameters that cannot be accepted.
    pub(crate) fn parameters(errors: Vec<ParameterError>) -> Self {
        let detail =
            errors.iter().map(|e| format!("{}: {}", e.parameter, e.message)).collect::<Vec<_>>().join("; ");
        Self { errors, ..Self::new(Code::InvalidParameter, detail) }
    }

    /// Adds what only the log may say.
    pub(crate) fn caused_by(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Says when another try makes sense.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Adds what the client can do, to a failure of this kind.
    pub(crate) fn advised(mut self, code: Code, advice: &str) -> Self {
        if self.code == code {
            self.detail.extend(["; ", advice]);
        }
        self
    }

    /// The row of the table.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// What only the log may say.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// One sentence for the client.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The body for the request of this id.
    pub(crate) fn body(&self, request_id: &str) -> ProblemBody {
        let kind = self.code.kind();
        ProblemBody {
            type_uri: self.code.type_uri(),
            title: kind.title.to_owned(),
            status: kind.status,
            code: kind.code.to_owned(),
            detail: self.detail.clone(),
            instance: format!("urn:kasparro:request:{request_id}"),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// Status and headers only: the middleware adds the body, because only there the request id is known.
impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if self.code == Code::Unauthorized {
            response.insert_header((header::WWW_AUTHENTICATE, CHALLENGE));
        }
        response.finish()
    }
}

/// Body of every failure (RFC 9457, `application/problem+json`).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Address of the page about this kind of failure.
    #[serde(rename = "type")]
    #[schema(example = "/problems/invalid_parameter", format = "uri-reference")]
    pub(crate) type_uri: String,
    /// What it is, in a few words; the same for every failure of the kind.
    #[schema(example = "A parameter cannot be accepted")]
    pub(crate) title: String,
    /// Status of the answer.
    #[schema(example = 422)]
    pub(crate) status: u16,
    /// Stable name of the kind.
    #[schema(example = "invalid_parameter")]
    pub(crate) code: String,
    /// What is wrong this time.
    #[schema(example = "limit: `0` is not allowed")]
    pub(crate) detail: String,
    /// The request, as a URN.
    #[schema(example = "urn:kasparro:request:0193f1c2-7f3a-7c11-9d6e-2f1f4a1f0a55", format = "uri")]
    pub(crate) instance: String,
    /// The request, as in the `X-Request-ID` header and in the log.
    #[schema(example = "0193f1c2-7f3a-7c11-9d6e-2f1f4a1f0a55")]
    pub(crate) request_id: String,
    /// The parameters that cannot be accepted; empty for other failures.
    pub(crate) errors: Vec<ParameterError>,
}
