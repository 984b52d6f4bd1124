//! Gets length-prefixed access units that carry parameter sets in band.
//! Gives what they change, and the units without them, as an `hvc1` sample entry asks.

use bytes::{Bytes, BytesMut};

use super::hvcc::build;
use super::{NalType, Nals};
use crate::codec::nal::without_trailing_zeros;
use crate::media::{H265Config, Result};

/// What the parameter sets within an access unit say, beside those of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InBand {
    /// There are none.
    Absent,
    /// All are those of the configuration.
    Same,
    /// From this access unit on another configuration holds: the old one with the sets of the unit in
    /// place of those with the same kind and identifier.
    Changed(Box<H265Config>),
}

/// Compares the parameter sets within `sample` with those of `config`.
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end or an SPS is not readable, `LimitExceeded`
/// where there are too many sets.
pub fn in_band_sets(config: &H265Config, sample: &Bytes) -> Result<InBand> {
    let mut found = false;
    let mut changed: Option<[Vec<Bytes>; 3]> = None;
    for nal in Nals::new(config, sample) {
        let nal = nal?;
        let Some(kind) = set_kind(nal) else { continue };
        found = true;
        let set = without_trailing_zeros(nal);
        let known = match &changed {
            Some(sets) => sets.get(kind),
            None => [&config.vps, &config.sps, &config.pps].get(kind).copied(),
        };
        if known.is_some_and(|known| known.iter().any(|known| known == set)) {
            continue;
        }
        let sets = changed.get_or_insert_with(|| [config.vps.clone(), config.sps.clone(), config.pps.clone()]);
        if let Some(sets) = sets.get_mut(kind) {
            let id = identifier(kind, set);
            sets.retain(|known| identifier(kind, known) != id);
            sets.push(sample.slice_ref(set));
        }
    }
    match changed {
        Some([vps, sps, pps]) => build(vps, sps, pps, config.nal_length_size).map(|new| InBand::Changed(Box::new(new))),
        None if found => Ok(InBand::Same),
        None => Ok(InBand::Absent),
    }
}

/// The access unit without its parameter sets; shares the bytes where there are none.
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end.
pub fn without_parameter_sets(config: &H265Config, sample: &Bytes) -> Result<Bytes> {
    let mut found = false;
    for nal in Nals::new(config, sample) {
        found |= set_kind(nal?).is_some();
    }
    if !found {
        return Ok(sample.clone());
    }
    let prefix = usize::from(config.nal_length_size);
    let mut out = BytesMut::with_capacity(sample.len());
    for nal in Nals::new(config, sample) {
        let nal = nal?;
        if set_kind(nal).is_none() {
            let length = (nal.len() as u64).to_be_bytes();
            out.extend_from_slice(length.get(length.len() - prefix..).unwrap_or_default());
            out.extend_from_slice(nal);
        }
    }
    Ok(out.freeze())
}

fn set_kind(nal: &[u8]) -> Option<usize> {
    match NalType::of(nal) {
        NalType::Vps => Some(0),
        NalType::Sps => Some(1),
        NalType::Pps => Some(2),
        _ => None,
    }
}

/// The set's own identifier, or a number that none has where it is too short: 4 bits of a VPS, an
/// Exp-Golomb number of a PPS and, behind its profile, of an SPS. An SPS is told apart by its NAL unit
/// alone: encoders use one, and another one under the same kind takes its place.
fn identifier(kind: usize, set: &[u8]) -> u32 {
    match (kind, set.get(2).copied()) {
        (0, Some(byte)) => u32::from(byte >> 4),
        (2, Some(byte)) => {
            // Up to 63 takes 13 bits at most; the leading zeros tell the length.
            let bits = u32::from(byte) << 8 | set.get(3).copied().map_or(0, u32::from);
            let zeros = (bits << 16).leading_zeros().min(7);
            (bits >> (15 - 2 * zeros)).saturating_sub(1)
        }
        (1, Some(_)) => 0,
        _ => u32::MAX,
    }
}
