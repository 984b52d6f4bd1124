//! Gets AAC payloads by RFC 6416 section 6, their configuration out of band.
//! Gives raw frames, and the AudioSpecificConfig out of a StreamMuxConfig.

use bytes::{Bytes, BytesMut};

use super::aac::Frames;
use super::{malformed, take, take_u8};
use crate::media::{Error, ErrorKind, Result};

/// Longest audioMuxElement in bytes, as for RFC 3640.
const MAX_ELEMENT_BYTES: usize = 64 * 1024;

/// The AudioSpecificConfig in a StreamMuxConfig (ISO/IEC 14496-3 section 1.7.3).
///
/// # Errors
/// `Malformed` where it is cut short, `Unsupported` where it has more than one program, layer or frame.
pub(crate) fn audio_specific_config(config: &[u8]) -> Result<Bytes> {
    const READ: &str = "read a StreamMuxConfig";
    // audioMuxVersion 0, allStreamsSameTimeFraming 1, numSubFrames 0, numProgram 0, numLayer 0: 15 bits.
    match config {
        [0x40, second, ..] if second & 0xfe == 0 => {}
        [_, _, ..] => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                READ,
                "it is not one stream of one frame each",
            ));
        }
        _ => return Err(Error::new(ErrorKind::Malformed, READ, "it is cut short")),
    }
    // What follows stands one bit off; what stands behind the AudioSpecificConfig does not disturb its
    // reader.
    let mut shifted = BytesMut::with_capacity(config.len());
    for pair in config.get(1..).unwrap_or_default().windows(2) {
        if let [first, second] = pair {
            shifted.extend_from_slice(&[(first << 7) | (second >> 1)]);
        }
    }
    Ok(shifted.freeze())
}

/// The depacketizer of audioMuxElements, whole in a packet or cut up over several.
#[derive(Debug, Default)]
pub(super) struct Latm {
    /// Timestamp and bytes of an element whose end has not come.
    held: Option<(u32, BytesMut)>,
    /// Whether the end of an element that is not whole is still to come.
    broken: bool,
}

impl Latm {
    pub(super) fn cut(&mut self) {
        self.broken |= self.held.take().is_some();
    }

    pub(super) fn packet(&mut self, payload: Bytes, timestamp: u32, marker: bool) -> Frames {
        let held = self.held.take_if(|(begun, _)| *begun == timestamp);
        self.held = None;
        if held.is_none() && std::mem::take(&mut self.broken) && marker && element(payload.clone()).is_err() {
            return Frames::Broken;
        }
        let whole = match held {
            None if marker => payload,
            None => {
                self.held = Some((timestamp, BytesMut::from(&payload[..])));
                return Frames::Pending;
            }
            Some((_, mut held)) => {
                if held.len() + payload.len() > MAX_ELEMENT_BYTES {
                    return Frames::Malformed;
                }
                held.extend_from_slice(&payload);
                if !marker {
                    self.held = Some((timestamp, held));
                    return Frames::Pending;
                }
                held.freeze()
            }
        };
        element(whole).map_or(Frames::Malformed, |frame| Frames::Whole(vec![frame]))
    }
}

/// PayloadLengthInfo and PayloadMux of one frame (sections 1.7.3.2.2 and 1.7.3.2.3).
fn element(mut element: Bytes) -> Result<Bytes> {
    let mut length = 0_usize;
    loop {
        let part = take_u8(&mut element)?;
        length += usize::from(part);
        if part != 255 {
            break;
        }
    }
    if length == 0 {
        return Err(malformed("the frame is empty"));
    }
    take(&mut element, length)
}
