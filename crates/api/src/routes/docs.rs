//! `GET /openapi.json` and `GET /docs`: the document and Swagger UI, both from this binary.

use std::sync::Arc;

use actix_web::http::header::{self, ContentEncoding};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::observe::DOCS_POLICY;
use crate::openapi::Document;
use crate::params;
use crate::problem::{Code, Problem};

/// Starts the page. Our own: the one that comes with Swagger UI shows a foreign example, and the validator badge
/// would be loaded from elsewhere.
const INITIALIZER: &str = r##"window.onload = () => {
  window.ui = SwaggerUIBundle({
    url: "../openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    layout: "StandaloneLayout",
  });
};
"##;

/// The files change with the program only.
const KEEP_AN_HOUR: &str = "public, max-age=3600";

pub(super) async fn document(
    request: HttpRequest,
    document: web::Data<Document>,
) -> Result<HttpResponse, Problem> {
    params::none(&request)?;
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(document.json()))
}

/// The page loads its files from beside itself, so it needs the slash. Relative, for a proxy that adds a prefix.
pub(super) async fn redirect(_: HttpRequest) -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "docs/")).finish()
}

pub(super) async fn index(_: HttpRequest) -> Result<HttpResponse, Problem> {
    serve("index.html")
}

pub(super) async fn file(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = params::path_text(&request, "file")?;
    if name == "swagger-initializer.js" {
        return Ok(page("text/javascript; charset=utf-8").body(INITIALIZER));
    }
    serve(&name)
}

fn serve(name: &str) -> Result<HttpResponse, Problem> {
    let missing = || Problem::new(Code::UnknownRoute, "there is no such file in the documentation");
    let config = Arc::new(utoipa_swagger_ui::Config::from("../openapi.json"));
    let file = utoipa_swagger_ui::serve(name, config).ok().flatten().ok_or_else(missing)?;
    let mut response = page(&file.content_type);
    if file.gzpipped {
        response.insert_header(ContentEncoding::Gzip);
    }
    Ok(response.body(file.bytes.into_owned()))
}

fn page(content_type: &str) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type(content_type)
        .insert_header((header::CACHE_CONTROL, KEEP_AN_HOUR))
        .insert_header((header::CONTENT_SECURITY_POLICY, DOCS_POLICY));
    response
}
