//! Gets AVC sequence headers and access units.
//! Gives the configuration, the key-frame test, and Annex B from length-prefixed NAL units and back.

mod annex_b;
mod avcc;
mod nal;
mod sps;
#[cfg(test)]
mod tests;

pub use annex_b::{AnnexB, annex_b_len, from_annex_b, to_annex_b};
pub use avcc::{config_from_sets, parse_avcc};
pub use nal::{ByteStreamNals, NalType, Nals, is_idr, without_emulation_prevention};
