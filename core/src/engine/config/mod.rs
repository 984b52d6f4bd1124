//! Gets settings from the host, files and the environment.
//! Gives them checked and typed.
//!
//! Precedence, highest first: what the host sets (flags of `livereel-server` too), the environment,
//! files, defaults. Within one of them the later wins. Nothing is checked before [`Config::resolve`],
//! which reports all problems at once.

mod describe;
mod keys;
mod properties;
mod settings;
mod sources;
mod validate;

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

pub use describe::json_schema;
pub use keys::{KEYS, Key, Kind, Served};
pub use settings::{Secret, Settings};

use crate::media::{Error, ErrorKind, Result};

/// Longest settings file read, in bytes: Web Call Server's own has 30 KB.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Where a value comes from. Later ones win.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A file, and the line in it.
    File {
        /// Its path.
        name: String,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// The host, by [`Config::set`].
    Host,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Host => f.write_str("set by the host"),
        }
    }
}

impl Origin {
    fn rank(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Environment { .. } => 2,
            Self::Host => 3,
        }
    }
}

/// A value that was given for a key, as it was spelled.
#[derive(Clone)]
struct Given {
    key: &'static Key,
    /// The key's name, an alias, or an inverse switch.
    spelled: String,
    value: String,
    origin: Origin,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = shown(&self.spelled, &self.value);
        write!(f, "{} = {shown:?} ({})", self.spelled, self.origin)
    }
}

/// Something to know about the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The key as it was spelled.
    pub key: String,
    /// The value; `***` for what must not be shown.
    pub value: String,
    /// What is wrong, and what is allowed.
    pub message: String,
    /// Where it comes from.
    pub origin: Origin,
}

impl Remark {
    /// The only way to make one, so that no secret gets into it.
    fn new(key: &str, value: &str, message: String, origin: Origin) -> Self {
        Self {
            key: key.to_owned(),
            value: shown(key, value),
            message,
            origin,
        }
    }

    fn unknown(key: &str, value: &str, origin: Origin) -> Self {
        Self::new(key, value, unknown(key), origin)
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} = {:?}: {}", self.origin, self.key, self.value, self.message)
    }
}

/// Settings as they were given, not checked yet.
#[derive(Clone, Debug, Default)]
pub struct Config {
    given: Vec<Given>,
    problems: Vec<Remark>,
    warnings: Vec<Remark>,
}

/// Settings that passed every check.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Typed.
    pub settings: Settings,
    /// Every key with its value and where it comes from.
    pub effective: Vec<Effective>,
    /// What the host should know.
    pub warnings: Vec<Remark>,
}

/// A key's value in force.
#[derive(Clone)]
pub struct Effective {
    /// The key.
    pub key: &'static Key,
    /// Its value as text; empty for none. A token is here as it is: show it only where that is safe.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

impl fmt::Debug for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = shown(self.key.name, &self.value);
        write!(f, "{} = {shown:?} ({})", self.key.name, self.origin)
    }
}

impl Config {
    /// No settings: every key has its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one key, as text.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that does not exist, with the one that was perhaps meant.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        if self.give(key, value, Origin::Host) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidArgument, "set a setting", unknown(key)).with("key", key))
    }

    /// Loads a `.toml` or `.properties` file.
    ///
    /// # Errors
    /// What the file system answers; `InvalidConfig` with the line where the file breaks its syntax;
    /// `InvalidArgument` for another extension. Unknown keys of a TOML file are problems that
    /// [`Config::resolve`] reports; those of a `.properties` file are warnings, because Web Call
    /// Server's has many that are not about recording.
    pub fn load_file(&mut self, path: &Path) -> Result<()> {
        let name = path.display().to_string();
        let in_file = |error: Error| error.with("path", &name);
        let is = |wanted: &str| {
            path.extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
        };
        if !is("toml") && !is("properties") {
            let message = "the extension tells the format: .toml or .properties is allowed";
            return Err(in_file(Error::new(
                ErrorKind::InvalidArgument,
                "load settings",
                message,
            )));
        }
        let length = std::fs::metadata(path)
            .map_err(|error| in_file(Error::io("load settings", error)))?
            .len();
        if length > MAX_FILE_BYTES {
            return Err(in_file(
                Error::new(ErrorKind::LimitExceeded, "load settings", "the file is too long")
                    .with("length_bytes", length)
                    .with("most_bytes", MAX_FILE_BYTES),
            ));
        }
        let bytes = std::fs::read(path).map_err(|error| in_file(Error::io("load settings", error)))?;
        let loaded = if is("toml") {
            match String::from_utf8(bytes) {
                Ok(text) => self.load_toml(&text, &name),
                Err(_) => Err(Error::new(ErrorKind::InvalidConfig, "read TOML", "it is not UTF-8")),
            }
        } else {
            self.load_properties(&bytes, &name)
        };
        loaded.map_err(in_file)
    }

    /// Loads the text of a TOML file; `name` stands for it in messages.
    ///
    /// # Errors
    /// As [`Config::load_file`].
    pub fn load_toml(&mut self, text: &str, name: &str) -> Result<()> {
        for line in sources::toml(text)? {
            let origin = Origin::File {
                name: name.to_owned(),
                line: line.number,
            };
            let Some(value) = line.value else {
                let message = "settings are flat: a string, number, boolean or array of them is allowed";
                self.problems
                    .push(Remark::new(&line.key, "a table or date", message.to_owned(), origin));
                continue;
            };
            if !self.give(&line.key, &value, origin.clone()) {
                self.problems.push(Remark::unknown(&line.key, &value, origin));
            }
        }
        Ok(())
    }

    /// Loads the text of a `.properties` file; `name` stands for it in messages.
    ///
    /// # Errors
    /// As [`Config::load_file`].
    pub fn load_properties(&mut self, text: &[u8], name: &str) -> Result<()> {
        for line in properties::lines(text)? {
            let origin = Origin::File {
                name: name.to_owned(),
                line: line.number,
            };
            let value = line.value.unwrap_or_default();
            if !self.give(&line.key, value.trim(), origin.clone()) {
                self.warnings.push(Remark::unknown(&line.key, &value, origin));
            }
        }
        Ok(())
    }

    /// Takes `LIVEREEL_<KEY>` from variables such as `std::env::vars_os()`; other names are passed over.
    /// (`std::env::vars()` panics where any variable of the host is not UTF-8.)
    pub fn load_environment(
        &mut self,
        variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    ) {
        for (variable, value) in variables {
            let Ok(variable) = variable.into().into_string() else {
                continue;
            };
            let Some(key) = variable.strip_prefix("LIVEREEL_").map(str::to_ascii_lowercase) else {
                continue;
            };
            if matches!(key.as_str(), "log") {
                continue;
            }
            let origin = Origin::Environment {
                variable: variable.clone(),
            };
            let value = match value.into().into_string() {
                Ok(value) => value,
                Err(raw) => {
                    let message = "UTF-8 is allowed".to_owned();
                    self.problems
                        .push(Remark::new(&key, &raw.to_string_lossy(), message, origin));
                    continue;
                }
            };
            if !self.give(&key, &value, origin.clone()) {
                self.warnings.push(Remark::unknown(&key, &value, origin));
            }
        }
    }

    /// Every key, in the order of the documentation.
    pub fn keys() -> Vec<&'static str> {
        KEYS.iter().map(|key| key.name).collect()
    }

    /// Checks everything and gives the settings in force.
    ///
    /// # Errors
    /// `InvalidConfig`: its message has a line for each problem, with key, value, what is allowed and
    /// where the value comes from.
    pub fn resolve(&self) -> Result<Resolved> {
        validate::resolve(self)
    }

    /// Notes a value; `false` for an unknown key.
    fn give(&mut self, spelled: &str, value: &str, origin: Origin) -> bool {
        let name = Switch::find(spelled).map_or(spelled, |switch| switch.key);
        let Some(key) = Key::find(name) else { return false };
        self.given.push(Given {
            key,
            spelled: spelled.to_owned(),
            value: value.to_owned(),
            origin,
        });
        true
    }
}

/// A switch of Web Call Server that says in another way what a key of ours says.
#[derive(Debug)]
struct Switch {
    name: &'static str,
    /// Ours.
    key: &'static str,
    /// What `true` stands for; `false` says nothing, and takes back a `true` of less precedence.
    on: &'static str,
}

const SWITCHES: &[Switch] = &[
    Switch {
        name: "record_h264_to_ts",
        key: "record_formats",
        on: "h264-ts,vp8-webm",
    },
    Switch {
        name: "encode_record_name_to_hex",
        key: "encode_record_name",
        on: "hex",
    },
    Switch {
        name: "encode_record_name_to_base64",
        key: "encode_record_name",
        on: "base64",
    },
];

impl Switch {
    fn find(name: &str) -> Option<&'static Self> {
        SWITCHES.iter().find(|switch| switch.name == name)
    }
}

/// A value as it may be shown: never a token, nor what an unknown key that sounds like one has.
fn shown(key: &str, value: &str) -> String {
    let known = Key::find(key).or_else(|| Key::find(Key::nearest(key)?));
    let sounds_secret = ["token", "password", "passwd", "secret", "credential"]
        .iter()
        .any(|word| key.to_ascii_lowercase().contains(word));
    if !value.is_empty() && (sounds_secret || known.is_some_and(Key::is_secret)) {
        return "***".to_owned();
    }
    value.to_owned()
}

fn unknown(key: &str) -> String {
    match Key::nearest(key) {
        Some(nearest) => format!("there is no such setting; did you mean {nearest}?"),
        None => "there is no such setting".to_owned(),
    }
}

#[cfg(test)]
mod tests;
