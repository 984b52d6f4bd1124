//! Gets the table of keys, and settings in force.
//! Gives a JSON Schema, and the settings as a file that can be loaded again.

use serde_json::{Map, Value, json};

use super::{KEYS, Key, Kind, Resolved, Served};

/// A JSON Schema (draft 2020-12) of a settings object, made from the table.
pub fn json_schema() -> Value {
    let properties: Map<_, _> = KEYS.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "livereel settings",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(key: &Key) -> Value {
    let (kind, detail) = match key.kind {
        Kind::Bool => (json!("boolean"), json!({})),
        Kind::Integer { min, max } => (json!("integer"), json!({ "minimum": min, "maximum": max })),
        Kind::Choice(words) => (json!("string"), json!({ "enum": words })),
        Kind::Rotation => (
            json!(["string", "integer"]),
            json!({ "pattern": "^(disabled|0*[1-9][0-9]*[smhMG]?)$", "minimum": 1 }),
        ),
        Kind::Bytes => (
            json!(["string", "integer"]),
            json!({ "pattern": "^[0-9]+[KMG]?$", "minimum": 0 }),
        ),
        Kind::Address => (json!("string"), json!({ "pattern": "^(.+:[0-9]{1,5})?$" })),
        Kind::UdpPorts => (
            json!(["string", "integer"]),
            json!({ "pattern": "^((.+:)?[0-9]{1,5}(-[0-9]{1,5})?)?$", "minimum": 0, "maximum": 65535 }),
        ),
        Kind::Formats => (json!(["string", "array"]), json!({ "items": { "type": "string" } })),
        Kind::Template | Kind::Path if !key.default.is_empty() => (json!("string"), json!({ "minLength": 1 })),
        Kind::Text | Kind::Ips | Kind::IceServers | Kind::Path | Kind::Template | Kind::Hosts => {
            (json!("string"), json!({}))
        }
    };
    let description = match key.served {
        Served::Yes => key.help.to_owned(),
        Served::NoEffect(why) => format!("{} (has no effect: {why})", key.help),
    };
    let default = match key.kind {
        _ if key.default.is_empty() => None,
        Kind::Bool => Some(json!(key.default == "true")),
        Kind::Integer { .. } => Some(json!(key.default.parse::<i64>().unwrap_or_default())),
        _ => Some(json!(key.default)),
    };
    let mut property = Map::from_iter([
        ("type".to_owned(), kind),
        ("description".to_owned(), description.into()),
    ]);
    property.extend(detail.as_object().cloned().unwrap_or_default());
    property.extend(default.map(|default| ("default".to_owned(), default)));
    if !key.aliases.is_empty() {
        property.insert("x-aliases".to_owned(), json!(key.aliases));
    }
    property.into()
}

/// The page of all settings, made from the table: `core/settings.md`.
#[cfg(test)]
pub(super) fn page() -> String {
    let mut text = String::from(
        "# Settings\n\n\
         One flat list of keys, the same in a TOML file, a `.properties` file, the environment \
         (`LIVEREEL_<KEY>` in capitals), C, Python, Node (in camelCase) and the flags of `livereel-server`. \
         Precedence, highest first: what the host sets, the environment, files, defaults; within one of them \
         the later wins. All problems are reported at once.\n\n\
         | key | default | takes | meaning | also spelled |\n| --- | --- | --- | --- | --- |\n",
    );
    let code = |word: &str| {
        if word.is_empty() {
            String::new()
        } else {
            format!("`{word}`")
        }
    };
    let codes = |words: &[&str]| words.iter().map(|word| code(word)).collect::<Vec<_>>().join(", ");
    for key in KEYS {
        let takes = match key.kind {
            Kind::Bool => codes(&["true", "false"]),
            Kind::Integer { min, max } => format!("{min} to {max}"),
            Kind::Choice(words) => codes(words),
            Kind::Text => "text".to_owned(),
            Kind::Path => "a path".to_owned(),
            Kind::Template => "a template".to_owned(),
            Kind::Rotation => "`disabled`, seconds, or a number with `s`, `m`, `h`, `M` or `G`".to_owned(),
            Kind::Formats => "a list".to_owned(),
            Kind::Bytes => "bytes, or a number with `K`, `M` or `G`".to_owned(),
            Kind::Address => "`host:port`".to_owned(),
            Kind::Hosts => "names, addresses or CIDR blocks, or `*`".to_owned(),
            Kind::UdpPorts => "`port` or `first-last`, `address:` before it where wanted".to_owned(),
            Kind::Ips => "IP addresses, comma-separated".to_owned(),
            Kind::IceServers => "`stun:` and `turn:` URLs, comma-separated".to_owned(),
        };
        let switches = super::SWITCHES.iter().filter(|switch| switch.key == key.name);
        let spelled: Vec<_> = key
            .aliases
            .iter()
            .copied()
            .chain(switches.map(|switch| switch.name))
            .collect();
        let served = match key.served {
            Served::Yes => String::new(),
            Served::NoEffect(why) => format!(" (no effect: {why})"),
        };
        text.push_str(&format!(
            "| {} | {} | {takes} | {}{served} | {} |\n",
            code(key.name),
            code(key.default),
            key.help,
            codes(&spelled)
        ));
    }
    text
}

impl Resolved {
    /// The settings in force as TOML that can be loaded again, each with its origin. Tokens are not
    /// shown; keys without a value stand in comments.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for effective in &self.effective {
            let key = effective.key;
            let value = match key.kind {
                Kind::Bool | Kind::Integer { .. } if !effective.value.is_empty() => effective.value.clone(),
                _ => toml::Value::String(effective.value.clone()).to_string(),
            };
            let line = if effective.value.is_empty() {
                format!("# {} =", key.name)
            } else if key.is_secret() {
                format!("# {} = \"***\"", key.name)
            } else {
                format!("{} = {value}", key.name)
            };
            // A path may hold a line break, which would end the comment.
            let origin = effective.origin.to_string().replace(char::is_control, " ");
            text.push_str(&format!("{line:<60} # {origin}\n"));
        }
        text
    }
}
