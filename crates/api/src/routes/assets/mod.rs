//! `GET /assets`, `/assets/{id}`, `/assets/{id}/history` and `/compare`: one coin, whatever the sources call it.

mod compare;
mod history;
mod list;
mod one;
mod view;

pub(super) use compare::{__path_compare, compare};
pub(super) use history::{__path_history, history};
pub(super) use list::{__path_list, list};
pub(super) use one::{__path_show, show};

use actix_web::HttpRequest;
use kasparro_core::store::market::{self, Meant};
use serde_json::json;
use utoipa::openapi::path::Parameter;

use crate::db::{Connection, ReadError};
use crate::params::MAX_TEXT_CHARS;
use crate::problem::{Code, ParameterError, Problem};
use crate::{params, schemas};

/// The asset that an id means.
fn meant(connection: &mut Connection, id: &str) -> Result<Meant, ReadError> {
    let mut found = market::meant(connection, id)?;
    match found.len() {
        0 => Err(Problem::new(Code::UnknownAsset, "no asset has this id, and no coin of a source").into()),
        1 => Ok(found.remove(0)),
        _ => {
            let slugs: Vec<&str> = found.iter().map(|asset| asset.slug.as_str()).collect();
            Err(Problem::parameters(vec![ParameterError {
                parameter: "id".to_owned(),
                message: "sources use this id for different assets".to_owned(),
                allowed: format!("one of {}", slugs.join(", ")),
            }])
            .into())
        }
    }
}

/// The id in the path, at this place from the end.
fn id_of(request: &HttpRequest, from_end: usize) -> Result<String, Problem> {
    params::path_segment(request, "id", from_end)
}

fn id_parameter() -> Parameter {
    let text = "Id of the asset, or the id that any source gives the coin; percent-encoded.";
    schemas::segment("id", text, schemas::text(MAX_TEXT_CHARS)).example(Some(json!("bitcoin"))).build()
}
