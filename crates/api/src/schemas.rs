//! Parameters as the OpenAPI document describes them, from the same constants and words that the code checks.

use std::ops::RangeInclusive;

use utoipa::openapi::Required;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};

use crate::params::{Choice, MAX_ITEMS, MAX_TEXT_CHARS};
use crate::problem::Code;
use crate::sources::REGISTERED;

/// No control characters; JSON Schema counts characters as we do.
const TEXT_PATTERN: &str = r"^[^\x00-\x1f\x7f-\x9f]+$";

/// The same, without the comma between items.
const ITEM_PATTERN: &str = r"^[^,\x00-\x1f\x7f-\x9f]+$";

/// A parameter of the query.
pub(crate) fn query(name: &str, description: &str, schema: Object) -> ParameterBuilder {
    parameter(name, description, schema).parameter_in(ParameterIn::Query).required(Required::False)
}

/// A segment of the path.
pub(crate) fn segment(name: &str, description: &str, schema: Object) -> ParameterBuilder {
    parameter(name, description, schema).parameter_in(ParameterIn::Path).required(Required::True)
}

fn parameter(name: &str, description: &str, schema: Object) -> ParameterBuilder {
    ParameterBuilder::new().name(name).description(Some(description)).schema(Some(schema))
}

/// A text of at most `max` characters.
pub(crate) fn text(max: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(max))
        .pattern(Some(TEXT_PATTERN))
        .build()
}

/// A list between commas.
pub(crate) fn list(name: &str, description: &str, items: Object) -> ParameterBuilder {
    let list = ArrayBuilder::new().items(items).min_items(Some(1)).max_items(Some(MAX_ITEMS)).build();
    ParameterBuilder::new()
        .name(name)
        .description(Some(description))
        .schema(Some(list))
        .style(Some(ParameterStyle::Form))
        .explode(Some(false))
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
}

/// An item of a list.
pub(crate) fn item() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(MAX_TEXT_CHARS))
        .pattern(Some(ITEM_PATTERN))
        .build()
}

/// One of these words.
pub(crate) fn word(words: &[&'static str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied())).build()
}

/// A moment.
pub(crate) fn time() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .build()
}

/// An amount.
pub(crate) fn amount() -> Object {
    ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)).build()
}

/// The name of a source. The document knows the registered ones; a database may have others.
pub(crate) fn source() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(REGISTERED)).build()
}

/// The name of a kind of failure.
pub(crate) fn problem_code() -> Object {
    let names: Vec<&str> = Code::ALL.iter().map(|code| code.kind().code).collect();
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()
}

/// One of a few words, the first one being the default.
pub(crate) fn choice<C: Choice>() -> Object {
    let words: Vec<&str> = C::ALL.iter().map(|(word, _)| *word).collect();
    let default = words.first().map(|word| serde_json::json!(word));
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).default(default).build()
}

/// A whole number.
pub(crate) fn number(range: &RangeInclusive<u32>, default: u32) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
        .minimum(Some(*range.start()))
        .maximum(Some(*range.end()))
        .default(Some(serde_json::json!(default)))
        .build()
}
