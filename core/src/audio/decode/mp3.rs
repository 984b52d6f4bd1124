//! Gets MPEG audio frames of layer III.
//! Gives their sound.

use nanomp3::{DecodeError, Decoder, MAX_SAMPLES_PER_FRAME};

use super::{DECODE, Decode, Decoded};
use crate::codec::mp3::parse_header;
use crate::media::{Error, ErrorKind, Result};

/// A layer III decoder.
pub(super) struct Mp3 {
    decoder: Box<Decoder>,
    frame: Box<[f32; MAX_SAMPLES_PER_FRAME]>,
}

impl Default for Mp3 {
    fn default() -> Self {
        Self {
            decoder: Box::default(),
            frame: Box::new([0.0; MAX_SAMPLES_PER_FRAME]),
        }
    }
}

impl Decode for Mp3 {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<Decoded> {
        let header = parse_header(packet)?;
        let channels = usize::from(header.channels);
        let mut rest = packet;
        while !rest.is_empty() {
            let (consumed, result) = self.decoder.decode(rest, self.frame.as_mut_slice());
            match result {
                Ok(info) if info.sample_rate == header.sample_rate && info.channels.num() == header.channels => {
                    let values = self.frame.get(..info.samples_produced * channels);
                    pcm.extend_from_slice(values.unwrap_or_default());
                }
                // The first frame of a stream that was joined late: its time passes in silence.
                Err(DecodeError::ReservoirUnavailable(_)) => {
                    pcm.resize(pcm.len() + header.frame_samples as usize * channels, 0.0);
                }
                // Padding behind a frame.
                Err(DecodeError::NoFrame) if !pcm.is_empty() => break,
                Ok(_) => return Err(malformed("its frames differ")),
                Err(error) => return Err(malformed(&error.to_string())),
            }
            rest = rest.get(consumed.max(1)..).unwrap_or_default();
        }
        Ok(Decoded {
            rate: header.sample_rate,
            channels,
            damaged: false,
        })
    }
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, DECODE, message).with("codec", "mp3")
}
