//! Gets AAC payloads by RFC 3640.
//! Gives raw frames.

use bytes::{Bytes, BytesMut};

use super::{malformed, take, take_u16};
use crate::media::{Error, ErrorKind, Result};

/// Most frames of one packet: a second of them, far more than any sender puts together.
const MAX_FRAMES: usize = 64;

/// Longest frame in bytes: 6144 bits a channel (ISO/IEC 14496-3 section 4.5.3.1) of 24 channels, and room.
const MAX_FRAME_BYTES: usize = 64 * 1024;

/// What a packet of AAC came to.
#[derive(Debug)]
pub(super) enum Frames {
    /// Frames, one behind the other.
    Whole(Vec<Bytes>),
    /// A fragment; more of it follows.
    Pending,
    /// The rest of a frame whose beginning is missing.
    Broken,
    /// It breaks the format.
    Malformed,
}

/// A frame whose fragments come in several packets of one timestamp.
#[derive(Debug)]
struct Fragments {
    timestamp: u32,
    size_bytes: usize,
    data: BytesMut,
}

/// The modes AAC-hbr and AAC-lbr (RFC 3640 sections 3.3.5 and 3.3.6), not interleaved.
#[derive(Debug)]
pub(super) struct Hbr {
    size_bits: usize,
    index_bits: usize,
    index_delta_bits: usize,
    fragments: Option<Fragments>,
}

impl Hbr {
    /// # Errors
    /// `Unsupported` where frames have no sizes.
    pub(super) fn new(size_length: u8, index_length: u8, index_delta_length: u8) -> Result<Self> {
        if size_length == 0 {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "read an RTP payload format",
                "AAC frames without sizes are not served",
            ));
        }
        Ok(Self {
            size_bits: size_length.into(),
            index_bits: index_length.into(),
            index_delta_bits: index_delta_length.into(),
            fragments: None,
        })
    }

    pub(super) fn cut(&mut self) {
        self.fragments = None;
    }

    pub(super) fn packet(&mut self, payload: Bytes, timestamp: u32, marker: bool) -> Frames {
        match self.read(payload, timestamp, marker) {
            Ok(frames) => frames,
            Err(_) => {
                self.fragments = None;
                Frames::Malformed
            }
        }
    }

    fn read(&mut self, mut payload: Bytes, timestamp: u32, marker: bool) -> Result<Frames> {
        let header_bits = usize::from(take_u16(&mut payload)?);
        let headers = take(&mut payload, header_bits.div_ceil(8))?;
        let sizes = self.sizes(&headers, header_bits)?;
        // One header whose frame is longer than the packet: a fragment (section 3.2.3).
        if let [size] = sizes[..]
            && (size > payload.len() || self.fragments.is_some())
        {
            return self.fragment(payload, size, timestamp, marker);
        }
        self.fragments = None;
        let frames: Result<Vec<Bytes>> = sizes.into_iter().map(|size| take(&mut payload, size)).collect();
        Ok(Frames::Whole(frames?))
    }

    /// The sizes in the AU header section (section 3.2.1).
    fn sizes(&self, headers: &[u8], header_bits: usize) -> Result<Vec<usize>> {
        let mut sizes = Vec::new();
        let mut at = 0;
        while at < header_bits {
            let index_bits = if sizes.is_empty() {
                self.index_bits
            } else {
                self.index_delta_bits
            };
            if at + self.size_bits + index_bits > header_bits {
                return Err(malformed("an AU header is cut short"));
            }
            let size = bits(headers, at, self.size_bits);
            let index = bits(headers, at + self.size_bits, index_bits);
            if index != 0 && !sizes.is_empty() {
                return Err(malformed("interleaved AAC is not served"));
            }
            at += self.size_bits + index_bits;
            if size > MAX_FRAME_BYTES || sizes.len() == MAX_FRAMES {
                return Err(malformed("a frame is too long, or there are too many")
                    .with("size_bytes", size)
                    .with("frames", sizes.len()));
            }
            sizes.push(size);
        }
        if sizes.is_empty() {
            return Err(malformed("there is no AU header"));
        }
        Ok(sizes)
    }

    fn fragment(&mut self, part: Bytes, size_bytes: usize, timestamp: u32, marker: bool) -> Result<Frames> {
        let same = self
            .fragments
            .take_if(|held| held.timestamp == timestamp && held.size_bytes == size_bytes);
        let mut held = match (same, self.fragments.take()) {
            (Some(held), _) => held,
            // Without its beginning the last fragment looks like a short first one.
            (None, _) if part.len() == size_bytes => return Ok(Frames::Whole(vec![part])),
            (None, _) if marker => return Ok(Frames::Broken),
            (None, _) => Fragments {
                timestamp,
                size_bytes,
                data: BytesMut::new(),
            },
        };
        held.data.extend_from_slice(&part);
        if held.data.len() > held.size_bytes {
            return Err(malformed("fragments are longer than their frame"));
        }
        if held.data.len() == held.size_bytes {
            return Ok(Frames::Whole(vec![held.data.freeze()]));
        }
        if marker {
            return Ok(Frames::Broken);
        }
        self.fragments = Some(held);
        Ok(Frames::Pending)
    }
}

/// `count` bits (at most 32) at `at`; what lies past the end reads as 0.
fn bits(bytes: &[u8], at: usize, count: usize) -> usize {
    (at..at + count).fold(0, |value, index| {
        let byte = bytes.get(index / 8).copied().unwrap_or(0);
        (value << 1) | usize::from((byte >> (7 - index % 8)) & 1)
    })
}
