//! Gets Opus packets.
//! Gives their sound at 48 kHz, and makes up what is lost from what went before and comes after.

use std::ptr::{self, NonNull};

use unsafe_libopus::{
    OPUS_OK, OpusMSDecoder, opus_multistream_decode_float, opus_multistream_decoder_create,
    opus_multistream_decoder_destroy, opus_packet_get_nb_samples, opus_packet_get_samples_per_frame,
};

use super::{DECODE, Decode, Decoded};
use crate::media::{Error, ErrorKind, OpusConfig, Result};

/// 120 ms: the longest packet (RFC 6716 section 3.2.5).
const MOST_FRAMES: usize = 5760;

/// 2.5 ms: lost time is made up in multiples of it.
const UNIT: usize = 120;

/// 20 ms: taken for the length of a lost packet as long as none is known.
const USUAL_FRAMES: usize = 960;

/// Most channels of mapping family 1 (RFC 7845 section 5.1.1.2).
const MOST_CHANNELS: usize = 8;

/// An Opus decoder. Streams of family 0 are decoded into the channels of the output at once, so a
/// sender may change between mono and stereo with every packet (RFC 6716 section 2.1.2).
pub(super) struct Opus {
    decoder: NonNull<OpusMSDecoder>,
    channels: usize,
    /// Factor of the header's gain (RFC 7845 section 5.1).
    gain: f32,
    /// Frames of the last packet.
    last: usize,
}

// SAFETY: the decoder is one allocation that this alone points to and that holds no thread's state.
unsafe impl Send for Opus {}

impl Opus {
    pub(super) fn new(config: &OpusConfig, output_channels: u8) -> Result<Self> {
        let stereo = output_channels > 1;
        let (channels, streams, coupled, mapping) = match &config.mapping {
            None => (1 + usize::from(stereo), 1, u8::from(stereo), vec![0, 1]),
            Some(table) => {
                let (streams, coupled, mapping) = read_mapping(table, config.channels)?;
                (mapping.len(), streams, coupled, mapping)
            }
        };
        let mut status = OPUS_OK;
        // SAFETY: `mapping` has an entry each channel, and the counts are within what Opus allows.
        let decoder = unsafe {
            opus_multistream_decoder_create(
                OpusConfig::RATE as i32,
                channels as i32,
                i32::from(streams),
                i32::from(coupled),
                mapping.as_ptr(),
                &raw mut status,
            )
        };
        let decoder = NonNull::new(decoder).filter(|_| status == OPUS_OK).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, DECODE, "libopus refuses the configuration").with("status", status)
        })?;
        Ok(Self {
            decoder,
            channels,
            gain: 10_f32.powf(f32::from(config.output_gain) / (20.0 * 256.0)),
            last: USUAL_FRAMES,
        })
    }

    /// Decodes `packet` into `frames` at most; lost time is an empty packet, or (`fec`) the redundancy
    /// that `packet` carries for the one before it.
    fn run(&mut self, packet: &[u8], frames: usize, fec: bool, pcm: &mut Vec<f32>) -> Result<usize> {
        let frames = frames.min(MOST_FRAMES);
        let before = pcm.len();
        pcm.resize(before + frames * self.channels, 0.0);
        let room = pcm.get_mut(before..).unwrap_or_default();
        let data = if packet.is_empty() {
            ptr::null()
        } else {
            packet.as_ptr()
        };
        // SAFETY: `data` has `packet.len()` bytes or is null with a length of 0, which is how a lost
        // packet is told; `room` has `frames` times the channels that the decoder was made with.
        let decoded = unsafe {
            opus_multistream_decode_float(
                self.decoder.as_ptr(),
                data,
                packet.len() as i32,
                room.as_mut_ptr(),
                frames as i32,
                i32::from(fec),
            )
        };
        let Some(decoded) = usize::try_from(decoded).ok().filter(|decoded| *decoded <= frames) else {
            pcm.truncate(before);
            return Err(Error::new(ErrorKind::Malformed, DECODE, "it is no Opus packet").with("status", decoded));
        };
        pcm.truncate(before + decoded * self.channels);
        if self.gain != 1.0 {
            for value in pcm.get_mut(before..).unwrap_or_default() {
                *value *= self.gain;
            }
        }
        Ok(decoded)
    }

    fn decoded(&self) -> Decoded {
        Decoded {
            rate: OpusConfig::RATE,
            channels: self.channels,
            damaged: false,
        }
    }
}

impl Decode for Opus {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<Decoded> {
        // Nothing, or only the first byte: the sender says that there is nothing to say (DTX).
        let frames = self.length(packet).unwrap_or(self.last);
        self.last = self.run(packet, frames, false, pcm)?;
        Ok(self.decoded())
    }

    fn length(&self, packet: &[u8]) -> Option<usize> {
        if packet.is_empty() {
            return Some(self.last);
        }
        // SAFETY: `packet` is not empty and its length is its own.
        let frames =
            unsafe { opus_packet_get_nb_samples(packet.as_ptr(), packet.len() as i32, OpusConfig::RATE as i32) };
        usize::try_from(frames).ok().filter(|frames| *frames > 0)
    }

    fn conceal(&mut self, frames: usize, next: &[u8], pcm: &mut Vec<f32>) -> Option<Decoded> {
        let frames = (frames + UNIT / 2) / UNIT * UNIT;
        // The redundancy covers the packet right before `next`, in a length of `next`'s own frames.
        let covered = match next.first() {
            // SAFETY: the pointer is to that first byte, and no other is read.
            Some(first) => unsafe { opus_packet_get_samples_per_frame(first, OpusConfig::RATE as i32) },
            None => 0,
        };
        let covered = usize::try_from(covered).unwrap_or(0);
        let covered = if (UNIT..=frames).contains(&covered) { covered } else { 0 };
        let mut left = frames - covered;
        while left > 0 {
            // As the packets were, so that the decoder fades at its own pace.
            let part = left.min(self.last.max(UNIT) / UNIT * UNIT);
            left -= part;
            self.run(&[], part, false, pcm).ok()?;
        }
        if covered > 0 {
            self.run(next, covered, true, pcm)
                .or_else(|_| self.run(&[], covered, false, pcm))
                .ok()?;
        }
        Some(self.decoded())
    }
}

impl Drop for Opus {
    fn drop(&mut self) {
        // SAFETY: it was made by the matching call and is not used after this.
        unsafe { opus_multistream_decoder_destroy(self.decoder.as_ptr()) };
    }
}

/// Family, streams, coupled streams and the stream of each channel (RFC 7845 section 5.1.1).
fn read_mapping(table: &[u8], channels: u8) -> Result<(u8, u8, Vec<u8>)> {
    let malformed = |message: &'static str| Error::new(ErrorKind::Malformed, DECODE, message).with("codec", "opus");
    let [family, streams, coupled, mapping @ ..] = table else {
        return Err(malformed("the channel mapping is cut short"));
    };
    if !matches!(family, 0 | 1) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            DECODE,
            "only the mapping families 0 and 1 are decoded",
        )
        .with("family", family));
    }
    let sources = streams
        .checked_add(*coupled)
        .filter(|_| *streams > 0 && coupled <= streams);
    let Some(sources) = sources.filter(|_| mapping.len() == usize::from(channels) && mapping.len() <= MOST_CHANNELS)
    else {
        return Err(malformed("the channel mapping contradicts itself"));
    };
    if mapping.iter().any(|source| *source >= sources && *source != 255) {
        return Err(malformed("the channel mapping names a stream that there is not"));
    }
    Ok((*streams, *coupled, mapping.to_vec()))
}
