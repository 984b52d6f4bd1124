//! Gets payloads of VP8 (RFC 7741).
//! Gives whole frames.

use bytes::{Buf, Bytes, BytesMut};

use super::pictures::PictureFormat;
use super::{Frame, malformed, take, take_u8};
use crate::codec::vp8;
use crate::media::limits::MAX_SAMPLE_BYTES;
use crate::media::{CodecConfig, Error, ErrorKind, Result, Vp8Config};

/// The depacketizer of VP8.
#[derive(Debug, Default)]
pub(in crate::ingest::rtp) struct Vp8 {
    config: Option<Vp8Config>,
    data: Parts,
    picture: Picture,
}

#[derive(Debug, Default)]
struct Picture {
    begun: bool,
    disposable: bool,
    picture_id: Option<(u16, u8)>,
}

/// The payloads of one frame: the only one is kept as it is, several are put together once.
#[derive(Debug, Default)]
pub(super) struct Parts {
    first: Bytes,
    all: BytesMut,
}

impl Parts {
    pub(super) fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    pub(super) fn push(&mut self, part: Bytes) -> Result<()> {
        if self.len() + part.len() > MAX_SAMPLE_BYTES {
            return Err(
                Error::new(ErrorKind::LimitExceeded, "read an RTP payload", "the frame is too long")
                    .with("most_bytes", MAX_SAMPLE_BYTES),
            );
        }
        if self.len() == 0 {
            self.first = part;
            return Ok(());
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        self.all.extend_from_slice(&part);
        Ok(())
    }

    pub(super) fn take(&mut self) -> Bytes {
        let parts = std::mem::take(self);
        if parts.all.is_empty() {
            parts.first
        } else {
            parts.all.freeze()
        }
    }
}

/// The payload descriptor (section 4.2).
struct Descriptor {
    non_reference: bool,
    start: bool,
    picture_id: Option<(u16, u8)>,
}

impl Descriptor {
    fn read(payload: &mut Bytes) -> Result<Self> {
        let first = take_u8(payload)?;
        let mut descriptor = Self {
            non_reference: first & 0x20 != 0,
            start: first & 0x10 != 0 && first & 0x07 == 0,
            picture_id: None,
        };
        if first & 0x80 != 0 {
            let extension = take_u8(payload)?;
            if extension & 0x80 != 0 {
                descriptor.picture_id = Some(picture_id(payload)?);
            }
            // TL0PICIDX, then TID, Y and KEYIDX in one byte.
            let bytes = usize::from(extension & 0x40 != 0) + usize::from(extension & 0x30 != 0);
            take(payload, bytes)?;
        }
        Ok(descriptor)
    }
}

/// A picture number of 7 or 15 bits, the first bit telling which, and its bits.
pub(super) fn picture_id(payload: &mut Bytes) -> Result<(u16, u8)> {
    let first = take_u8(payload)?;
    if first & 0x80 == 0 {
        return Ok((first.into(), 7));
    }
    Ok(((u16::from(first & 0x7f) << 8) | u16::from(take_u8(payload)?), 15))
}

impl PictureFormat for Vp8 {
    fn begins(&self, payload: &[u8]) -> bool {
        payload.first().is_some_and(|first| first & 0x17 == 0x10)
    }

    fn add(&mut self, mut payload: Bytes) -> Result<()> {
        let descriptor = Descriptor::read(&mut payload)?;
        if !payload.has_remaining() {
            return Err(malformed("there is nothing behind the descriptor"));
        }
        if self.data.len() == 0 {
            self.picture = Picture {
                begun: descriptor.start,
                disposable: descriptor.non_reference,
                picture_id: descriptor.picture_id,
            };
        }
        self.data.push(payload)
    }

    fn cut(&mut self) {}

    fn finish(&mut self) -> Option<Frame> {
        let picture = std::mem::take(&mut self.picture);
        let data = self.data.take();
        // The first bit of a frame is 0 in key frames (RFC 6386 section 9.1).
        let key = picture.begun && data.first()? & 1 == 0;
        let mut config = None;
        if key
            && let Ok(new) = vp8::parse_key_frame(&data)
            && self.config.as_ref() != Some(&new)
        {
            self.config = Some(new.clone());
            config = Some(CodecConfig::Vp8(new));
        }
        Some(Frame {
            data,
            key,
            disposable: picture.disposable,
            picture_id: picture.picture_id,
            config,
            ..Frame::default()
        })
    }
}
