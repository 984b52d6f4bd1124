//! Gets AV1 temporal units and configuration records.
//! Gives configurations, the key-frame test, and temporal units as samples of a file.

mod obu;
mod record;
mod sequence;
#[cfg(test)]
mod tests;

pub use obu::{Obu, ObuType, Obus, is_key, to_sample};
pub use record::{config_from_sequence_header, config_in, parse_av1c};

use super::colour::Colour;
use crate::media::Av1Config;

/// What the sequence header says of colour, `None` where it is silent.
pub fn colour(config: &Av1Config) -> Option<Colour> {
    let header = record::sequence_header_in(config.av1c.get(record::FIXED_BYTES..)?).ok()??;
    sequence::parse(header.payload).ok()?.colour
}
