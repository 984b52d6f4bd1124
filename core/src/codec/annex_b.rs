//! Gets length-prefixed access units of H.264 and H.265.
//! Gives them in Annex B form as slices of what is there already, or copied; and the way back.

use bytes::Bytes;

use super::nal::{ByteStreamNals, NalCodec, NalRole, Nals};
use crate::media::{Error, ErrorKind, Result};

/// `zero_byte` and `start_code_prefix_one_3bytes` (ITU-T H.264 and H.265 section B.1.1). The 4-byte
/// form is required before the first NAL unit of an access unit and before parameter sets, allowed
/// elsewhere.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// A checked access unit on its way into a byte stream.
///
/// It begins with one access unit delimiter, as ISO/IEC 13818-1 sections 2.14.1 and 2.17.1 ask: the
/// unit's own where it has one before its first slice (wherever that stood), else a new one. A
/// delimiter after a slice belongs to the second field of a picture and stays. Before a key frame the
/// parameter sets of the configuration follow, unless the unit has every kind of them itself.
#[derive(Clone, Debug)]
pub struct AnnexB<'a> {
    nals: Nals<'a>,
    role: fn(&[u8]) -> NalRole,
    delimiter: &'a [u8],
    sets: [&'a [Bytes]; 3],
    len_bytes: usize,
}

impl<'a> AnnexB<'a> {
    /// Reads the NAL units of `sample` once, so that nothing can fail later.
    ///
    /// # Errors
    /// `Malformed` where a NAL unit's length leads past the end.
    pub fn new<C: NalCodec>(config: &'a C, sample: &'a [u8], key: bool) -> Result<Self> {
        let nals = Nals::new(config, sample);
        let (mut delimiter, mut slice, mut own_sets) = (None, false, [false; 3]);
        let mut len_bytes = 0;
        for nal in nals.clone() {
            let nal = nal?;
            match C::role(nal) {
                NalRole::Delimiter if !slice => {
                    delimiter.get_or_insert(nal);
                    continue;
                }
                NalRole::Slice => slice = true,
                NalRole::ParameterSet(kind) => own_sets.iter_mut().skip(kind).take(1).for_each(|own| *own = true),
                NalRole::Delimiter | NalRole::Other => {}
            }
            len_bytes += START_CODE.len() + nal.len();
        }
        let delimiter = delimiter.unwrap_or(C::DELIMITER);
        len_bytes += START_CODE.len() + delimiter.len();
        let complete = own_sets.iter().take(C::SET_KINDS).all(|own| *own);
        let sets = if key && !complete {
            config.parameter_sets()
        } else {
            [&[][..]; 3]
        };
        len_bytes += flat(sets).map(|set| START_CODE.len() + set.len()).sum::<usize>();
        Ok(Self {
            nals,
            role: C::role,
            delimiter,
            sets,
            len_bytes,
        })
    }

    /// The length in bytes.
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// The bytes in order, as slices: start codes and NAL units by turns.
    pub fn slices(&self) -> impl Iterator<Item = &'a [u8]> {
        let role = self.role;
        let mut slice = false;
        let own = self.nals.clone().map_while(Result::ok).filter(move |nal| {
            let kind = role(nal);
            slice |= kind == NalRole::Slice;
            slice || kind != NalRole::Delimiter
        });
        std::iter::once(self.delimiter)
            .chain(flat(self.sets))
            .chain(own)
            .flat_map(|nal| [&START_CODE, nal])
    }
}

fn flat(sets: [&[Bytes]; 3]) -> impl Iterator<Item = &[u8]> {
    sets.into_iter().flatten().map(|set| &set[..])
}

/// The length of an access unit after [`to_annex_b`], so that room is taken once.
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end.
pub fn annex_b_len<C: NalCodec>(config: &C, sample: &[u8], key: bool) -> Result<usize> {
    Ok(AnnexB::new(config, sample, key)?.len_bytes())
}

/// Appends an access unit in Annex B form (ITU-T H.264 and H.265 annex B) to `out`: an access unit
/// delimiter, before a key frame the parameter sets (unless the unit has its own), and the NAL units.
/// [`AnnexB`] gives the same bytes without a copy.
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end; `out` is as before then.
pub fn to_annex_b<C: NalCodec>(config: &C, sample: &[u8], key: bool, out: &mut Vec<u8>) -> Result<()> {
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
