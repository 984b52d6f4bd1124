//! Gets payloads of VP9 (RFC 9628).
//! Gives whole pictures; several spatial layers of one as a superframe.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::pictures::PictureFormat;
use super::vp8::{Parts, picture_id};
use super::{Frame, malformed, take, take_u8, take_u16};
use crate::codec::vp9;
use crate::media::{CodecConfig, Result, Vp9Config};

/// Frames that a superframe index holds (VP9 specification annex B).
const MAX_LAYERS: usize = 8;

/// Reference indices of one picture in flexible mode (RFC 9628 section 4.2, `P_DIFF`).
const MAX_REFERENCES: usize = 3;

/// The depacketizer of VP9.
#[derive(Debug, Default)]
pub(in crate::ingest::rtp) struct Vp9 {
    config: Option<Vp9Config>,
    data: Parts,
    /// Sizes in bytes of the layer frames that are complete, and where the one under way began.
    layers: Vec<usize>,
    layer_start: usize,
    picture: Option<Picture>,
}

#[derive(Debug)]
struct Picture {
    begun: bool,
    picture_id: Option<(u16, u8)>,
    /// Size in pixels of the highest layer, where a scalability structure tells it.
    size: Option<(u32, u32)>,
}

/// The payload descriptor (section 4.2).
#[derive(Default)]
struct Descriptor {
    start: bool,
    end: bool,
    picture_id: Option<(u16, u8)>,
    size: Option<(u32, u32)>,
}

impl Descriptor {
    fn read(payload: &mut Bytes) -> Result<Self> {
        let first = take_u8(payload)?;
        let has = |bit: u8| first & bit != 0;
        let (predicted, flexible) = (has(0x40), has(0x10));
        let mut descriptor = Self {
            start: has(0x08),
            end: has(0x04),
            ..Self::default()
        };
        if has(0x80) {
            descriptor.picture_id = Some(picture_id(payload)?);
        }
        if has(0x20) {
            // Layer indices, and TL0PICIDX where references are not told one by one.
            take(payload, if flexible { 1 } else { 2 })?;
        }
        if flexible && predicted {
            let mut references = 0;
            while take_u8(payload)? & 1 != 0 {
                references += 1;
                if references == MAX_REFERENCES {
                    return Err(malformed("there are more references than a picture has"));
                }
            }
        }
        if has(0x02) {
            descriptor.size = scalability_structure(payload)?;
        }
        Ok(descriptor)
    }
}

/// Skips a scalability structure (section 4.2.1); the size of its highest layer, where it is told.
fn scalability_structure(payload: &mut Bytes) -> Result<Option<(u32, u32)>> {
    let first = take_u8(payload)?;
    let mut size = None;
    if first & 0x10 != 0 {
        for _ in 0..=first >> 5 {
            size = Some((take_u16(payload)?.into(), take_u16(payload)?.into()));
        }
    }
    if first & 0x08 != 0 {
        for _ in 0..take_u8(payload)? {
            let picture = take_u8(payload)?;
            take(payload, usize::from((picture >> 2) & 3))?;
        }
    }
    Ok(size.filter(|(width, height)| *width > 0 && *height > 0))
}

impl PictureFormat for Vp9 {
    fn begins(&self, payload: &[u8]) -> bool {
        let Ok((first, layer)) = first_and_layer(payload) else {
            return false;
        };
        first & 0x08 != 0 && layer == 0
    }

    fn add(&mut self, mut payload: Bytes) -> Result<()> {
        let begun = self.begins(&payload);
        let descriptor = Descriptor::read(&mut payload)?;
        if !payload.has_remaining() {
            return Err(malformed("there is nothing behind the descriptor"));
        }
        let picture = self.picture.get_or_insert(Picture {
            begun,
            picture_id: descriptor.picture_id,
            size: None,
        });
        picture.size = descriptor.size.or(picture.size);
        if descriptor.start {
            self.layer_start = self.data.len();
        }
        self.data.push(payload)?;
        if descriptor.end {
            if self.layers.len() == MAX_LAYERS {
                return Err(malformed("there are more layers than a superframe holds"));
            }
            self.layers.push(self.data.len() - self.layer_start);
            self.layer_start = self.data.len();
        }
        Ok(())
    }

    fn cut(&mut self) {}

    fn finish(&mut self) -> Option<Frame> {
        let picture = self.picture.take();
        let layers = std::mem::take(&mut self.layers);
        self.layer_start = 0;
        let mut data = self.data.take();
        let picture = picture?;
        let key = picture.begun && is_key(&data);
        let mut config = None;
        if key && let Ok(mut new) = vp9::parse_key_frame(&data) {
            if let Some((width, height)) = picture.size {
                (new.width, new.height) = (width, height);
            }
            if self.config.as_ref() != Some(&new) {
                self.config = Some(new.clone());
                config = Some(CodecConfig::Vp9(new));
            }
        }
        if layers.len() > 1 && layers.iter().sum::<usize>() == data.len() {
            data = superframe(&data, &layers);
        }
        Some(Frame {
            data,
            key,
            picture_id: picture.picture_id,
            config,
            ..Frame::default()
        })
    }
}

/// The first byte of a descriptor and the spatial layer that it belongs to, 0 where there is but one.
fn first_and_layer(payload: &[u8]) -> Result<(u8, u8)> {
    let cut_short = || malformed("it is cut short");
    let first = *payload.first().ok_or_else(cut_short)?;
    if first & 0x20 == 0 {
        return Ok((first, 0));
    }
    let id_bytes = match (first & 0x80, payload.get(1)) {
        (0, _) => 0,
        (_, Some(id)) if id & 0x80 != 0 => 2,
        _ => 1,
    };
    let indices = payload.get(1 + id_bytes).ok_or_else(cut_short)?;
    Ok((first, (indices >> 1) & 0x07))
}

/// Whether an uncompressed header is that of a key frame (VP9 specification section 6.2).
fn is_key(frame: &[u8]) -> bool {
    let Some(first) = frame.first() else { return false };
    if first >> 6 != 2 {
        return false;
    }
    // Profile 3 has a reserved bit more; then show_existing_frame and frame_type are both 0 in key frames.
    let shift = if first & 0x30 == 0x30 { 1 } else { 2 };
    (first >> shift) & 0x03 == 0
}

/// The frames with an index behind them (VP9 specification annex B), so that they stay one sample.
fn superframe(frames: &[u8], sizes: &[usize]) -> Bytes {
    let largest = sizes.iter().copied().max().unwrap_or(0) as u64;
    let size_bytes = (64 - largest.leading_zeros()).div_ceil(8).clamp(1, 4) as usize;
    let marker = 0xc0 | ((size_bytes as u8 - 1) << 3) | (sizes.len() as u8).saturating_sub(1);
    let mut data = BytesMut::with_capacity(frames.len() + 2 + sizes.len() * size_bytes);
    data.extend_from_slice(frames);
    data.put_u8(marker);
    for size in sizes {
        data.put_uint_le(*size as u64, size_bytes);
    }
    data.put_u8(marker);
    data.freeze()
}
