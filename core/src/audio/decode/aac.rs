//! Gets raw AAC frames.
//! Gives their sound, through FDK AAC.

use fdk_aac::dec::{Decoder, DecoderError, Transport};

use super::{DECODE, Decode, Decoded};
use crate::media::{AacConfig, Error, ErrorKind, Result};

/// Channels that a configuration can have (ISO/IEC 14496-3 table 1.19, 22.2 aside).
const MOST_CHANNELS: usize = 8;

/// Samples of the longest frame a channel: 1024, doubled by SBR.
const MOST_FRAME: usize = 2048;

/// An AAC decoder: LC, and whatever else of the family FDK AAC reads.
pub(super) struct Aac {
    decoder: Decoder,
    frame: Vec<i16>,
    /// The packet decoded last: once more (and again) at the end, it pushes out what is within.
    last: Vec<u8>,
}

impl Aac {
    pub(super) fn new(config: &AacConfig) -> Result<Self> {
        let mut decoder = Decoder::new(Transport::Raw);
        let refused = |error: DecoderError| {
            Error::new(ErrorKind::Unsupported, DECODE, error.message())
                .with("codec", "aac")
                .with("object_type", config.object_type)
        };
        decoder.config_raw(&config.asc).map_err(refused)?;
        // More are mixed down to two by the decoder, with the gains that the stream carries.
        decoder.set_max_output_channels(2).map_err(refused)?;
        Ok(Self {
            decoder,
            frame: vec![0; MOST_FRAME * MOST_CHANNELS],
            last: Vec::new(),
        })
    }

    fn run(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<Decoded> {
        let malformed =
            |error: DecoderError| Error::new(ErrorKind::Malformed, DECODE, error.message()).with("codec", "aac");
        let taken = self.decoder.fill(packet).map_err(malformed)?;
        if taken < packet.len() {
            return Err(
                Error::new(ErrorKind::Malformed, DECODE, "the frame is longer than AAC frames are")
                    .with("length_bytes", packet.len()),
            );
        }
        let result = self.decoder.decode_frame(&mut self.frame);
        let damaged = match result {
            Ok(()) => false,
            // The decoder found it broken and put out what it made up for it.
            Err(
                DecoderError::PARSE_ERROR
                | DecoderError::DECODE_FRAME_ERROR
                | DecoderError::CRC_ERROR
                | DecoderError::INVALID_CODE_BOOK
                | DecoderError::TNS_READ_ERROR,
            ) => true,
            Err(error) => return Err(malformed(error)),
        };
        let info = self.decoder.stream_info();
        let (rate, channels, samples) = (info.sampleRate, info.numChannels, info.frameSize);
        let (Ok(rate), Ok(channels), Ok(samples)) =
            (u32::try_from(rate), usize::try_from(channels), usize::try_from(samples))
        else {
            return Err(Error::new(ErrorKind::Malformed, DECODE, "nothing was decoded").with("codec", "aac"));
        };
        let Some(frame) = self.frame.get(..channels * samples).filter(|frame| !frame.is_empty()) else {
            return Err(Error::new(ErrorKind::Malformed, DECODE, "nothing was decoded").with("codec", "aac"));
        };
        pcm.extend(frame.iter().map(|value| f32::from(*value) / 32_768.0));
        Ok(Decoded {
            rate,
            channels,
            damaged,
        })
    }
}

impl Decode for Aac {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<Decoded> {
        let decoded = self.run(packet, pcm)?;
        if !decoded.damaged {
            self.last.clear();
            self.last.extend_from_slice(packet);
        }
        Ok(decoded)
    }

    fn delay(&self) -> usize {
        self.decoder.stream_info().outputDelay as usize
    }

    fn finish(&mut self, pcm: &mut Vec<f32>) -> Option<Decoded> {
        let delay = self.delay();
        if delay == 0 || self.last.is_empty() {
            return None;
        }
        let last = std::mem::take(&mut self.last);
        let mut decoded = self.run(&last, pcm).ok()?;
        while pcm.len() < delay * decoded.channels {
            decoded = self.run(&last, pcm).ok()?;
        }
        pcm.truncate(delay * decoded.channels);
        Some(decoded)
    }
}
