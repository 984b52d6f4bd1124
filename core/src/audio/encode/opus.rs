//! Gets sound at 48 kHz.
//! Gives Opus packets of 20 ms, through libopus.

use std::ptr::NonNull;

use bytes::Bytes;
use unsafe_libopus::{
    OPUS_APPLICATION_AUDIO, OPUS_GET_LOOKAHEAD_REQUEST, OPUS_OK, OPUS_SET_BITRATE_REQUEST, OpusEncoder,
    opus_encode_float, opus_encoder_create, opus_encoder_ctl_impl, opus_encoder_destroy, varargs,
};

use super::{ENCODE, Encode, Packet};
use crate::media::{CodecConfig, Error, ErrorKind, OpusConfig, Result};

/// 20 ms.
const FRAME: usize = 960;

/// Bits a second a channel: nobody tells it from the source.
const BIT_RATE: i32 = 64_000;

/// Longest packet of one frame, in bytes (RFC 6716 section 3.2.1), and its first byte.
const MOST_BYTES: usize = 1276;

/// An Opus encoder.
pub(super) struct Opus {
    encoder: NonNull<OpusEncoder>,
    channels: u8,
    lookahead: u16,
    packet: Vec<u8>,
}

// SAFETY: the encoder is one allocation that this alone points to and that holds no thread's state.
unsafe impl Send for Opus {}

impl Opus {
    /// An encoder of 1 or 2 channels.
    pub(super) fn new(channels: u8) -> Result<Self> {
        let mut status = OPUS_OK;
        // SAFETY: rate, channels and application are among those allowed, or the call returns null.
        let encoder = unsafe {
            opus_encoder_create(
                OpusConfig::RATE as i32,
                i32::from(channels),
                OPUS_APPLICATION_AUDIO,
                &raw mut status,
            )
        };
        let refused = |status: i32| {
            Error::new(ErrorKind::Internal, ENCODE, "libopus refuses the settings").with("status", status)
        };
        let encoder = NonNull::new(encoder)
            .filter(|_| status == OPUS_OK)
            .ok_or_else(|| refused(status))?;
        let mut made = Self {
            encoder,
            channels,
            lookahead: 0,
            packet: vec![0; MOST_BYTES],
        };
        let mut lookahead = 0;
        // SAFETY: the encoder is alive, and each request gets the argument that it is defined with.
        let status = unsafe {
            let rate = BIT_RATE * i32::from(channels);
            match opus_encoder_ctl_impl(made.encoder.as_ptr(), OPUS_SET_BITRATE_REQUEST, varargs!(rate)) {
                OPUS_OK => opus_encoder_ctl_impl(
                    made.encoder.as_ptr(),
                    OPUS_GET_LOOKAHEAD_REQUEST,
                    varargs!(&mut lookahead),
                ),
                refused => refused,
            }
        };
        if status != OPUS_OK {
            return Err(refused(status));
        }
        made.lookahead = u16::try_from(lookahead).map_err(|_| refused(lookahead))?;
        Ok(made)
    }
}

impl Encode for Opus {
    fn codec(&self) -> CodecConfig {
        CodecConfig::Opus(OpusConfig {
            channels: self.channels,
            pre_skip: self.lookahead,
            input_sample_rate: OpusConfig::RATE,
            output_gain: 0,
            mapping: None,
        })
    }

    fn block(&self) -> usize {
        FRAME
    }

    fn delay(&self) -> u32 {
        u32::from(self.lookahead)
    }

    fn encode(&mut self, pcm: &[f32], out: &mut Vec<Packet>) -> Result<()> {
        if pcm.len() != FRAME * usize::from(self.channels) {
            return Err(Error::new(ErrorKind::Internal, ENCODE, "it is not one frame").with("values", pcm.len()));
        }
        // SAFETY: `pcm` was just measured, and `packet` is as long as the call is told.
        let length = unsafe {
            opus_encode_float(
                self.encoder.as_ptr(),
                pcm.as_ptr(),
                FRAME as i32,
                self.packet.as_mut_ptr(),
                self.packet.len() as i32,
            )
        };
        let data = usize::try_from(length)
            .ok()
            .and_then(|length| self.packet.get(..length));
        let Some(data) = data.filter(|data| !data.is_empty()) else {
            return Err(Error::new(ErrorKind::Internal, ENCODE, "libopus failed").with("status", length));
        };
        out.push(Packet {
            data: Bytes::copy_from_slice(data),
            frames: FRAME as u32,
        });
        Ok(())
    }
}

impl Drop for Opus {
    fn drop(&mut self) {
        // SAFETY: it was made by the matching call and is not used after this.
        unsafe { opus_encoder_destroy(self.encoder.as_ptr()) };
    }
}
