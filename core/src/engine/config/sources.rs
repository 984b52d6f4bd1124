//! Gets the text of settings files.
//! Gives their keys and values with the line of each; knows nothing of what they mean.

use crate::media::{Error, ErrorKind, Result};

/// A key and a value as a file has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) key: String,
    /// `None` for what is no plain value: a table, a date.
    pub(super) value: Option<String>,
}

/// Reads TOML: flat, with strings, numbers, booleans and arrays of them.
pub(super) fn toml(text: &str) -> Result<Vec<Line>> {
    let table: std::collections::BTreeMap<toml::Spanned<String>, toml::Spanned<toml::Value>> = toml::from_str(text)
        .map_err(|error| {
            let line = error.span().map_or(0, |span| line_of(text, span.start));
            Error::new(ErrorKind::InvalidConfig, "read TOML", error.message().to_owned()).with("line", line)
        })?;
    let mut lines = Vec::new();
    for (key, value) in table {
        let number = line_of(text, key.span().start);
        lines.push(Line {
            number,
            key: key.into_inner(),
            value: plain(value.get_ref()),
        });
    }
    lines.sort_by_key(|line| line.number);
    Ok(lines)
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(on) => Some(on.to_string()),
        toml::Value::Array(items) => Some(items.iter().map(plain).collect::<Option<Vec<_>>>()?.join(",")),
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
