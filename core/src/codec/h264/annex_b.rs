//! Gets length-prefixed access units.
//! Gives them in Annex B form as slices of what is there already, or copied; and the way back.

use super::nal::{ByteStreamNals, NalType, Nals};
use crate::media::{Error, ErrorKind, H264Config, Result};

/// `zero_byte` and `start_code_prefix_one_3bytes` (ITU-T H.264 section B.1.1). The 4-byte form is
/// required before the first NAL unit of an access unit and before parameter sets, allowed elsewhere.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// An access unit delimiter whose `primary_pic_type` is 7, any slice type (ITU-T H.264 section 7.3.2.4).
const DELIMITER: [u8; 2] = [0x09, 0xf0];

/// A checked access unit on its way into a byte stream.
///
/// It begins with one access unit delimiter, as ISO/IEC 13818-1 section 2.14.1 asks: the unit's own
/// where it has one before its first slice (wherever that stood), else a new one. A delimiter after
/// a slice belongs to the second field of a picture and stays. Before a key frame the parameter sets
/// of the configuration follow, unless the unit has both kinds itself.
#[derive(Clone, Debug)]
pub struct AnnexB<'a> {
    nals: Nals<'a>,
    delimiter: &'a [u8],
    config: Option<&'a H264Config>,
    len_bytes: usize,
}

impl<'a> AnnexB<'a> {
    /// Reads the NAL units of `sample` once, so that nothing can fail later.
    ///
    /// # Errors
    /// `Malformed` where a NAL unit's length leads past the end.
    pub fn new(config: &'a H264Config, sample: &'a [u8], key: bool) -> Result<Self> {
        let nals = Nals::new(config, sample);
        let (mut delimiter, mut sps, mut pps, mut slice) = (None, false, false, false);
        let mut len_bytes = 0;
        for nal in nals.clone() {
            let nal = nal?;
            match NalType::of(nal) {
                NalType::Delimiter if !slice => {
                    delimiter.get_or_insert(nal);
                    continue;
                }
                NalType::Slice | NalType::Idr => slice = true,
                NalType::Sps => sps = true,
                NalType::Pps => pps = true,
                NalType::Delimiter | NalType::Other => {}
            }
            len_bytes += START_CODE.len() + nal.len();
        }
        let delimiter = delimiter.unwrap_or(&DELIMITER);
        len_bytes += START_CODE.len() + delimiter.len();
        let config = (key && !(sps && pps)).then_some(config);
        for set in config.iter().flat_map(|config| parameter_sets(config)) {
            len_bytes += START_CODE.len() + set.len();
        }
        Ok(Self {
            nals,
            delimiter,
            config,
            len_bytes,
        })
    }

    /// The length in bytes.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// The bytes in order, as slices: start codes and NAL units by turns.
    pub fn slices(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut slice = false;
        let own = self.nals.clone().map_while(Result::ok).filter(move |nal| {
            let kind = NalType::of(nal);
            slice |= matches!(kind, NalType::Slice | NalType::Idr);
            slice || kind != NalType::Delimiter
        });
        std::iter::once(self.delimiter)
            .chain(self.config.into_iter().flat_map(parameter_sets))
            .chain(own)
            .flat_map(|nal| [&START_CODE, nal])
    }
}

fn parameter_sets(config: &H264Config) -> impl Iterator<Item = &[u8]> {
    config.sps.iter().chain(&config.pps).map(|set| &set[..])
}

/// The length of an access unit after [`to_annex_b`], so that room is taken once.
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end.
pub fn annex_b_len(config: &H264Config, sample: &[u8], key: bool) -> Result<usize> {
    Ok(AnnexB::new(config, sample, key)?.len_bytes())
}

/// Appends an access unit in Annex B form (ITU-T H.264 annex B) to `out`: an access unit delimiter,
/// before a key frame the parameter sets (unless the unit has its own), and the NAL units.
/// [`AnnexB`] gives the same bytes without a copy.
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end; `out` is as before then.
pub fn to_annex_b(config: &H264Config, sample: &[u8], key: bool, out: &mut Vec<u8>) -> Result<()> {
    let unit = AnnexB::new(config, sample, key)?;
    out.reserve(unit.len_bytes());
    for slice in unit.slices() {
        out.extend_from_slice(slice);
    }
    Ok(())
}

/// Makes an access unit in Annex B form length-prefixed (4 bytes), parameter sets and delimiters kept.
///
/// # Errors
/// `Malformed` where there is no start code.
pub fn from_annex_b(annex_b: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(annex_b.len() + 1);
    for nal in ByteStreamNals::new(annex_b) {
        let length = u32::try_from(nal.len()).map_err(|_| malformed("a NAL unit is longer than 32 bits tell"))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(nal);
    }
    if out.is_empty() {
        return Err(malformed("there is no NAL unit behind a start code").with("length_bytes", annex_b.len()));
    }
    Ok(out)
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, "read an Annex B access unit", message)
}
