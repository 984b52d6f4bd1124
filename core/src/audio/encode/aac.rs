//! Gets sound.
//! Gives AAC-LC frames, through FDK AAC.

use bytes::Bytes;
use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, Encoder, EncoderError, EncoderParams, Transport};

use super::{ENCODE, Encode, Packet, to_i16};
use crate::codec::aac::parse_asc;
use crate::media::{CodecConfig, Error, ErrorKind, Result};

/// Frames of sound in an AAC-LC frame.
const FRAME: usize = 1024;

/// Most bytes of an AAC frame: 6144 bits a channel (ISO/IEC 14496-3 section 4.5.3).
const MOST_BYTES_A_CHANNEL: usize = 6144 / 8;

/// Bits a second a channel at a constant rate, and the most bits a sample that low rates get.
const CONSTANT_RATE: u32 = 64_000;
const BITS_A_SAMPLE: u32 = 2;

/// An AAC-LC encoder.
pub(super) struct Aac {
    encoder: Encoder,
    codec: CodecConfig,
    delay: u32,
    frame: Vec<i16>,
    packet: Vec<u8>,
}

impl Aac {
    /// Mode 0 is a constant bit rate, 1 to 5 are variable.
    pub(super) fn new(mode: u8, rate: u32, channels: u8) -> Result<Self> {
        let bit_rate = match mode {
            0 => BitRate::Cbr(CONSTANT_RATE.min(rate * BITS_A_SAMPLE) * u32::from(channels)),
            1 => BitRate::VbrVeryLow,
            2 => BitRate::VbrLow,
            3 => BitRate::VbrMedium,
            4 => BitRate::VbrHigh,
            5 => BitRate::VbrVeryHigh,
            _ => {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    ENCODE,
                    "the bit rate mode is not within 0 to 5",
                )
                .with("mode", mode));
            }
        };
        let refused = |error: EncoderError| {
            Error::new(ErrorKind::Unsupported, ENCODE, format!("FDK AAC: {error}"))
                .with("sample_rate", rate)
                .with("channels", channels)
                .with("mode", mode)
        };
        let encoder = Encoder::new(EncoderParams {
            bit_rate,
            sample_rate: rate,
            transport: Transport::Raw,
            channels: if channels == 1 {
                ChannelMode::Mono
            } else {
                ChannelMode::Stereo
            },
            audio_object_type: AudioObjectType::Mpeg4LowComplexity,
        })
        .map_err(refused)?;
        let info = encoder.info().map_err(refused)?;
        let asc = info.confBuf.get(..info.confSize as usize).unwrap_or_default();
        Ok(Self {
            codec: CodecConfig::Aac(parse_asc(Bytes::copy_from_slice(asc))?),
            delay: info.nDelay,
            encoder,
            frame: Vec::with_capacity(FRAME * usize::from(channels)),
            packet: vec![0; MOST_BYTES_A_CHANNEL * usize::from(channels)],
        })
    }
}

impl Encode for Aac {
    fn codec(&self) -> CodecConfig {
        self.codec.clone()
    }

    fn block(&self) -> usize {
        FRAME
    }

    fn delay(&self) -> u32 {
        self.delay
    }

    fn encode(&mut self, pcm: &[f32], out: &mut Vec<Packet>) -> Result<()> {
        self.frame.clear();
        self.frame.extend(pcm.iter().map(|value| to_i16(*value)));
        let failed = |message: String| Error::new(ErrorKind::Internal, ENCODE, message);
        let encoded = self
            .encoder
            .encode(&self.frame, &mut self.packet)
            .map_err(|error| failed(format!("FDK AAC: {error}")))?;
        if encoded.input_consumed < self.frame.len() {
            return Err(failed("FDK AAC did not take a whole frame".into()).with("taken", encoded.input_consumed));
        }
        let data = self.packet.get(..encoded.output_size).unwrap_or_default();
        if !data.is_empty() {
            out.push(Packet {
                data: Bytes::copy_from_slice(data),
                frames: FRAME as u32,
            });
        }
        Ok(())
    }
}
