//! Gets values.
//! Gives EBML elements (RFC 8794), and reads them back.

use crate::media::{Error, ErrorKind};

/// The identifiers of RFC 9559 that are written or read here, marker bits included.
pub(super) mod id {
    pub(in super::super) const EBML: u32 = 0x1A45_DFA3;
    pub(in super::super) const EBML_VERSION: u32 = 0x4286;
    pub(in super::super) const EBML_READ_VERSION: u32 = 0x42F7;
    pub(in super::super) const EBML_MAX_ID_LENGTH: u32 = 0x42F2;
    pub(in super::super) const EBML_MAX_SIZE_LENGTH: u32 = 0x42F3;
    pub(in super::super) const DOC_TYPE: u32 = 0x4282;
    pub(in super::super) const DOC_TYPE_VERSION: u32 = 0x4287;
    pub(in super::super) const DOC_TYPE_READ_VERSION: u32 = 0x4285;
    pub(in super::super) const VOID: u32 = 0xEC;
    pub(in super::super) const SEGMENT: u32 = 0x1853_8067;
    pub(in super::super) const SEEK_HEAD: u32 = 0x114D_9B74;
    pub(in super::super) const SEEK: u32 = 0x4DBB;
    pub(in super::super) const SEEK_ID: u32 = 0x53AB;
    pub(in super::super) const SEEK_POSITION: u32 = 0x53AC;
    pub(in super::super) const INFO: u32 = 0x1549_A966;
    pub(in super::super) const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
    pub(in super::super) const DURATION: u32 = 0x4489;
    pub(in super::super) const DATE_UTC: u32 = 0x4461;
    pub(in super::super) const MUXING_APP: u32 = 0x4D80;
    pub(in super::super) const WRITING_APP: u32 = 0x5741;
    pub(in super::super) const TRACKS: u32 = 0x1654_AE6B;
    pub(in super::super) const TRACK_ENTRY: u32 = 0xAE;
    pub(in super::super) const TRACK_NUMBER: u32 = 0xD7;
    pub(in super::super) const TRACK_UID: u32 = 0x73C5;
    pub(in super::super) const TRACK_TYPE: u32 = 0x83;
    pub(in super::super) const FLAG_LACING: u32 = 0x9C;
    pub(in super::super) const LANGUAGE: u32 = 0x22_B59C;
    pub(in super::super) const CODEC_ID: u32 = 0x86;
    pub(in super::super) const CODEC_PRIVATE: u32 = 0x63A2;
    pub(in super::super) const CODEC_DELAY: u32 = 0x56AA;
    pub(in super::super) const SEEK_PRE_ROLL: u32 = 0x56BB;
    pub(in super::super) const VIDEO: u32 = 0xE0;
    pub(in super::super) const PIXEL_WIDTH: u32 = 0xB0;
    pub(in super::super) const PIXEL_HEIGHT: u32 = 0xBA;
    pub(in super::super) const DISPLAY_WIDTH: u32 = 0x54B0;
    pub(in super::super) const DISPLAY_HEIGHT: u32 = 0x54BA;
    pub(in super::super) const COLOUR: u32 = 0x55B0;
    pub(in super::super) const MATRIX_COEFFICIENTS: u32 = 0x55B1;
    pub(in super::super) const BITS_PER_CHANNEL: u32 = 0x55B2;
    pub(in super::super) const RANGE: u32 = 0x55B9;
    pub(in super::super) const TRANSFER_CHARACTERISTICS: u32 = 0x55BA;
    pub(in super::super) const PRIMARIES: u32 = 0x55BB;
    pub(in super::super) const AUDIO: u32 = 0xE1;
    pub(in super::super) const SAMPLING_FREQUENCY: u32 = 0xB5;
    pub(in super::super) const CHANNELS: u32 = 0x9F;
    pub(in super::super) const CLUSTER: u32 = 0x1F43_B675;
    pub(in super::super) const TIMESTAMP: u32 = 0xE7;
    pub(in super::super) const SIMPLE_BLOCK: u32 = 0xA3;
    pub(in super::super) const BLOCK_GROUP: u32 = 0xA0;
    pub(in super::super) const BLOCK: u32 = 0xA1;
    pub(in super::super) const DISCARD_PADDING: u32 = 0x75A2;
    pub(in super::super) const CUES: u32 = 0x1C53_BB6B;
    pub(in super::super) const CUE_POINT: u32 = 0xBB;
    pub(in super::super) const CUE_TIME: u32 = 0xB3;
    pub(in super::super) const CUE_TRACK_POSITIONS: u32 = 0xB7;
    pub(in super::super) const CUE_TRACK: u32 = 0xF7;
    pub(in super::super) const CUE_CLUSTER_POSITION: u32 = 0xF1;
}

/// The size of an element whose end is not known yet, in 8 bytes.
pub(super) const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];

/// Largest size of 8 bytes.
const MAX_SIZE: u64 = (1 << 56) - 2;

/// Bytes of a header with an identifier of 4 bytes and a size of 8.
pub(super) const WIDE_HEADER: u64 = 12;

/// Bytes of the header of a `Void` with a size of 8.
const WIDE_VOID_HEADER: u64 = 9;

/// `size` in 8 bytes.
pub(super) fn wide_size(size: u64) -> [u8; 8] {
    let mut bytes = size.min(MAX_SIZE).to_be_bytes();
    if let Some(first) = bytes.first_mut() {
        *first = 0x01;
    }
    bytes
}

/// How many bytes the shortest size takes.
pub(super) fn size_len(size: u64) -> usize {
    (1..8).find(|&len| size < (1 << (7 * len)) - 1).unwrap_or(8)
}

/// How many bytes an unsigned integer takes without leading zeros; 0 takes one.
pub(super) fn uint_len(value: u64) -> usize {
    8 - (value.leading_zeros() as usize / 8).min(7)
}

/// The last `len` bytes of a big-endian number.
fn tail(bytes: &[u8; 8], len: usize) -> &[u8] {
    bytes.get(8_usize.saturating_sub(len)..).unwrap_or_default()
}

/// Appends elements to a buffer.
pub(super) trait PutEbml {
    /// Appends plain bytes.
    fn put(&mut self, bytes: &[u8]);

    /// An identifier.
    fn put_id(&mut self, id: u32) {
        self.put(tail(&u64::from(id).to_be_bytes(), uint_len(u64::from(id))));
    }

    /// A size, as short as it can be.
    fn put_size(&mut self, size: u64) {
        let len = size_len(size);
        let marked = size.min(MAX_SIZE) | 1 << (7 * len);
        self.put(tail(&marked.to_be_bytes(), len));
    }

    /// An element of plain bytes.
    fn put_binary(&mut self, id: u32, payload: &[u8]) {
        self.put_id(id);
        self.put_size(payload.len() as u64);
        self.put(payload);
    }

    /// An unsigned integer.
    fn put_uint(&mut self, id: u32, value: u64) {
        self.put_binary(id, tail(&value.to_be_bytes(), uint_len(value)));
    }

    /// An unsigned integer of 8 bytes, so that its place does not depend on its value.
    fn put_wide_uint(&mut self, id: u32, value: u64) {
        self.put_binary(id, &value.to_be_bytes());
    }

    /// A float of 8 bytes.
    fn put_float(&mut self, id: u32, value: f64) {
        self.put_binary(id, &value.to_be_bytes());
    }

    /// A `Void` of `len` bytes, header included; below 2 there is none.
    fn put_void(&mut self, len: u64) {
        self.put_void_header(len);
        let payload = match len {
            0 | 1 => 0,
            2..WIDE_VOID_HEADER => len - 2,
            _ => len - WIDE_VOID_HEADER,
        };
        for _ in 0..payload {
            self.put(&[0]);
        }
    }

    /// The header of such a `Void`.
    fn put_void_header(&mut self, len: u64) {
        match len {
            0 | 1 => {}
            2..WIDE_VOID_HEADER => self.put(&[id::VOID as u8, 0x80 | (len - 2) as u8]),
            _ => {
                self.put(&[id::VOID as u8]);
                self.put(&wide_size(len - WIDE_VOID_HEADER));
            }
        }
    }

    /// An element made of others.
    fn put_master(&mut self, id: u32, children: impl FnOnce(&mut Vec<u8>)) {
        let mut payload = Vec::new();
        children(&mut payload);
        self.put_binary(id, &payload);
    }
}

impl PutEbml for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl PutEbml for bytes::BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// An identifier, a size and their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// With its marker bit.
    pub(super) id: u32,
    /// Bytes of the payload; `None` where it says that it is not known.
    pub(super) size: Option<u64>,
    /// Bytes of both.
    pub(super) len: u64,
}

impl Header {
    /// Bytes that the longest header takes.
    pub(super) const MAX_LEN: usize = 12;

    /// The header at the start of `bytes`; `None` where there is no whole one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let id_len = bytes.first()?.leading_zeros() as usize + 1;
        if id_len > 4 {
            return None;
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        let id = number(bytes.get(..id_len)?) as u32;
        let rest = bytes.get(id_len..)?;
        let size_len = rest.first()?.leading_zeros() as usize + 1;
        if size_len > 8 {
            return None;
        }
        let mask = (1_u64 << (7 * size_len)) - 1;
        let size = number(rest.get(..size_len)?) & mask;
        Some(Self {
            id,
            size: (size != mask).then_some(size),
            len: (id_len + size_len) as u64,
        })
    }
}

/// The elements in the payload of another, in order.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

impl<'a> Elements<'a> {
    /// The payload of the first element with `id`.
    pub(super) fn child(&self, id: u32) -> Option<&'a [u8]> {
        self.clone()
            .find_map(|(found, payload)| (found == id).then_some(payload))
    }

    /// An unsigned integer in the first element with `id`.
    pub(super) fn uint(&self, id: u32) -> Option<u64> {
        self.child(id).and_then(uint)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u32, &'a [u8]);

    /// Ends at the end, and before an element that is not whole.
    fn next(&mut self) -> Option<Self::Item> {
        let header = Header::parse(self.0)?;
        let rest = self.0.get(header.len as usize..)?;
        let (payload, rest) = rest.split_at_checked(usize::try_from(header.size?).ok()?)?;
        self.0 = rest;
        Some((header.id, payload))
    }
}

/// An unsigned integer of at most 8 bytes.
pub(super) fn uint(payload: &[u8]) -> Option<u64> {
    (payload.len() <= 8).then(|| payload.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// A file that is not what it should be.
pub(super) fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, "read a WebM", message)
}
