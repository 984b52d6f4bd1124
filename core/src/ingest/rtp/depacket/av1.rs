//! Gets payloads of AV1 (RTP Payload Format For AV1, version 1.0).
//! Gives temporal units: OBUs with sizes, without temporal delimiters.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::pictures::PictureFormat;
use super::{Frame, malformed, take, take_u8};
use crate::codec::av1;
use crate::media::limits::MAX_SAMPLE_BYTES;
use crate::media::{Av1Config, CodecConfig, Error, ErrorKind, Result};

// OBU types (AV1 specification section 6.2.2).
const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// The depacketizer of AV1.
#[derive(Debug, Default)]
pub(in crate::ingest::rtp) struct Av1 {
    config: Option<Av1Config>,
    unit: BytesMut,
    /// An OBU whose rest comes with the next payload.
    fragment: Option<BytesMut>,
    /// The last sequence header of the temporal unit: the OBU with its size, and its payload.
    sequence_header: Option<Bytes>,
    /// Whether the first frame is a key frame; `None` before it.
    key: Option<bool>,
}

/// The aggregation header (section 4.4).
struct Aggregation {
    continues_last: bool,
    continued_next: bool,
    elements: u8,
}

impl From<u8> for Aggregation {
    fn from(header: u8) -> Self {
        Self {
            continues_last: header & 0x80 != 0,
            continued_next: header & 0x40 != 0,
            elements: (header >> 4) & 0x03,
        }
    }
}

impl PictureFormat for Av1 {
    fn begins(&self, payload: &[u8]) -> bool {
        let [header, rest @ ..] = payload else { return false };
        let header = Aggregation::from(*header);
        if header.continues_last {
            return false;
        }
        // The first OBU stands behind its length, unless it is the only one of a counted list.
        let mut rest = Bytes::copy_from_slice(rest.get(..rest.len().min(16)).unwrap_or_default());
        if header.elements != 1 && leb128(&mut rest).is_err() {
            return false;
        }
        rest.first()
            .is_some_and(|first| matches!((first >> 3) & 0x0f, SEQUENCE_HEADER..=FRAME_HEADER | FRAME))
    }

    fn add(&mut self, mut payload: Bytes) -> Result<()> {
        let header = Aggregation::from(take_u8(&mut payload)?);
        let mut index = 0;
        while payload.has_remaining() {
            index += 1;
            let length = if index == header.elements {
                payload.len()
            } else {
                leb128(&mut payload)?
            };
            let element = take(&mut payload, length)?;
            let continues = index == 1 && header.continues_last;
            let continued = !payload.has_remaining() && header.continued_next;
            self.element(element, continues, continued)?;
            if index == u8::MAX {
                return Err(malformed("there are more OBU elements than a packet needs"));
            }
        }
        if index < header.elements {
            return Err(malformed("there are fewer OBU elements than it says"));
        }
        Ok(())
    }

    fn cut(&mut self) {
        self.fragment = None;
    }

    fn finish(&mut self) -> Option<Frame> {
        self.fragment = None;
        let data = std::mem::take(&mut self.unit).freeze();
        let sequence_header = std::mem::take(&mut self.sequence_header);
        let key = self.key.take()? && sequence_header.is_some();
        let mut config = None;
        if key
            && let Some(obu) = sequence_header
            && let Ok(new) = av1::config_from_sequence_header(&obu)
            && self.config.as_ref() != Some(&new)
        {
            self.config = Some(new.clone());
            config = Some(CodecConfig::Av1(new));
        }
        Some(Frame {
            data,
            key,
            config,
            ..Frame::default()
        })
    }
}

impl Av1 {
    /// Takes an OBU element: a whole OBU, or a fragment of one.
    fn element(&mut self, element: Bytes, continues: bool, continued: bool) -> Result<()> {
        if self.unit.len() + self.fragment.as_ref().map_or(0, |held| held.len()) + element.len() > MAX_SAMPLE_BYTES {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "read an RTP payload",
                "the temporal unit is too long",
            )
            .with("most_bytes", MAX_SAMPLE_BYTES));
        }
        match (continues, self.fragment.take()) {
            (true, Some(mut held)) => {
                held.extend_from_slice(&element);
                if continued {
                    self.fragment = Some(held);
                    return Ok(());
                }
                self.obu(held.freeze())
            }
            (true, None) => Err(malformed("a fragment does not follow the start of its OBU")),
            (false, Some(_)) => Err(malformed("the rest of an OBU is missing")),
            (false, None) if continued => {
                self.fragment = Some(BytesMut::from(&element[..]));
                Ok(())
            }
            (false, None) => self.obu(element),
        }
    }

    /// Adds an OBU with its size, which RTP leaves out as a rule (AV1 specification section 5.3).
    fn obu(&mut self, mut obu: Bytes) -> Result<()> {
        if obu.is_empty() {
            return Ok(());
        }
        let header = take_u8(&mut obu)?;
        let extension = if header & 0x04 != 0 {
            Some(take_u8(&mut obu)?)
        } else {
            None
        };
        if header & 0x02 != 0 {
            let size = leb128(&mut obu)?;
            if obu.len() < size {
                return Err(malformed("an OBU's size leads past its end")
                    .with("size_bytes", size)
                    .with("left_bytes", obu.len()));
            }
            obu.truncate(size);
        }
        let kind = (header >> 3) & 0x0f;
        match kind {
            TEMPORAL_DELIMITER | TILE_LIST | PADDING => return Ok(()),
            // show_existing_frame is 0 and frame_type is KEY_FRAME, 0 (section 5.9.2).
            FRAME_HEADER | FRAME if self.key.is_none() => {
                self.key = Some(obu.first().is_some_and(|first| first & 0xe0 == 0));
            }
            _ => {}
        }
        let start = self.unit.len();
        self.unit.put_u8(header | 0x02);
        if let Some(extension) = extension {
            self.unit.put_u8(extension);
        }
        let mut size = obu.len();
        while size >= 0x80 {
            self.unit.put_u8((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        self.unit.put_u8(size as u8);
        self.unit.extend_from_slice(&obu);
        if kind == SEQUENCE_HEADER {
            let whole = Bytes::copy_from_slice(self.unit.get(start..).unwrap_or_default());
            self.sequence_header = Some(whole);
        }
        Ok(())
    }
}

/// A `leb128()` (AV1 specification section 4.10.5) of at most 32 bits.
fn leb128(bytes: &mut Bytes) -> Result<usize> {
    let mut value = 0_u64;
    for index in 0..8 {
        let byte = take_u8(bytes)?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return usize::try_from(value)
                .ok()
                .filter(|value| *value <= u32::MAX as usize)
                .ok_or_else(|| malformed("a length is longer than 32 bits"));
        }
    }
    Err(malformed("a length does not end"))
}
