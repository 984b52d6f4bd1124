//! Gets the library's table of settings.
//! Gives the command line: every setting is a flag of the same name.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use livereel::engine::{Config, config};
use livereel::media::Result;

pub(crate) const CONFIG: &str = "config";
pub(crate) const PRINT_CONFIG: &str = "print-config";
pub(crate) const PRINT_SCHEMA: &str = "print-schema";
pub(crate) const RECOVER: &str = "recover";
pub(crate) const PROGRESS: &str = "progress";
pub(crate) const VERBOSE: &str = "verbose";

/// The command line.
pub(crate) fn command() -> Command {
    let switch =
        |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    Command::new("livereel-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Records live streams to MP4 and MPEG-TS. Events go to standard output, one JSON object a line.")
        .after_help(
            "Settings are taken from flags, then LIVEREEL_<KEY> in the environment, then --config, then defaults.\n\
             Example: livereel-server --rtmp-listen 127.0.0.1:1935 --record-dir records",
        )
        .arg(
            Arg::new(CONFIG)
                .long(CONFIG)
                .value_name("FILE")
                .help("Settings file, .toml or .properties")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(switch(
            PRINT_CONFIG,
            "Print the effective settings and where each comes from, and exit",
        ))
        .arg(switch(PRINT_SCHEMA, "Print the JSON Schema of the settings, and exit"))
        .arg(switch(
            RECOVER,
            "Finish what a crash left in the record folders, and exit",
        ))
        .arg(switch(PROGRESS, "A line a second for each recording on standard error"))
        .arg(switch(VERBOSE, "Log more (LIVEREEL_LOG has the full filter syntax)").short('v'))
        .next_help_heading("Settings")
        .args(config::KEYS.iter().map(setting))
}

/// A flag for a key; its value is checked by the library, with all others at once.
fn setting(key: &'static config::Key) -> Arg {
    let is_switch = key.is_boolean();
    let parser: ValueParser = if is_switch {
        PossibleValuesParser::new(["true", "false"]).into()
    } else {
        ValueParser::string()
    };
    let default = if key.default.is_empty() { "none" } else { key.default };
    let arg = Arg::new(key.name)
        .long(key.name.replace('_', "-"))
        .value_name(if is_switch { "BOOL" } else { "VALUE" })
        .help(format!("{} [default: {default}]", key.help))
        .value_parser(parser)
        .hide_possible_values(true);
    if is_switch {
        arg.num_args(0..=1).default_missing_value("true")
    } else {
        arg.allow_hyphen_values(true)
    }
}

/// The settings of file, environment and flags.
pub(crate) fn config(matches: &ArgMatches) -> Result<Config> {
    let mut config = Config::new();
    if let Some(path) = matches.get_one::<PathBuf>(CONFIG) {
        config.load_file(path)?;
    }
    config.load_environment(std::env::vars_os());
    for key in config::KEYS {
        if let Some(value) = matches.get_one::<String>(key.name) {
            config.set(key.name, value)?;
        }
    }
    Ok(config)
}
