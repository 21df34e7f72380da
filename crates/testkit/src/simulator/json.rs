//! Writing JSON with numbers given as text, which no serialiser with floats inside can do.

/// A value of the universe as JSON spells it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Json {
    /// `null`.
    Null,
    /// Written as it is: a number literal or a finished JSON value.
    Literal(String),
    /// A string, escaped when written.
    Text(String),
}

impl Json {
    pub(crate) fn literal(text: impl Into<String>) -> Self {
        Self::Literal(text.into())
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Literal(literal) => out.push_str(literal),
            Self::Text(text) => write_string(text, out),
        }
    }
}

/// A compact JSON object in the order its fields are added.
#[derive(Default)]
pub(crate) struct Object {
    text: String,
}

impl Object {
    pub(crate) fn field(mut self, name: &str, value: Json) -> Self {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        write_string(name, &mut self.text);
        self.text.push(':');
        value.write(&mut self.text);
        self
    }

    pub(crate) fn finish(mut self) -> String {
        self.text.push_str(if self.text.is_empty() { "{}" } else { "}" });
        self.text
    }

    pub(crate) fn into_json(self) -> Json {
        Json::Literal(self.finish())
    }
}

/// A compact JSON array of finished values.
pub(crate) fn array(items: impl IntoIterator<Item = String>) -> String {
    let mut out = String::from("[");
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        out.push_str(&item);
    }
    out.push(']');
    out
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if u32::from(control) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}
