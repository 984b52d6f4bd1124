//! Gets AVC sequence headers and access units.
//! Gives the configuration, the key-frame test, and Annex B from length-prefixed NAL units and back.

mod avcc;
mod nal;
mod sps;
#[cfg(test)]
mod tests;

pub use super::annex_b::{AnnexB, annex_b_len, from_annex_b, to_annex_b};
pub use super::nal::{ByteStreamNals, Nals, without_emulation_prevention};
pub use avcc::{config_from_sets, parse_avcc};
pub use nal::{NalType, is_idr};
