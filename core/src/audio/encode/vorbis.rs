//! Gets sound.
//! Gives Vorbis packets and headers, through libvorbis.

use std::mem::MaybeUninit;

use aotuv_lancer_vorbis_sys as sys;
use bytes::Bytes;
use ogg_next_sys::ogg_packet;

use super::{ENCODE, Encode, Packet};
use crate::audio::vorbis::State;
use crate::media::{CodecConfig, Error, ErrorKind, Result, VorbisConfig};

/// Frames handed over at once.
const BLOCK: usize = 1024;

/// Quality 4 of -1 to 10, in tenths: around 128 kb/s for 44.1 kHz stereo.
const QUALITY: f32 = 0.4;

/// A Vorbis encoder. Its packets have two lengths, and each gives a quarter of its own and a quarter
/// of the one before. The first gives nothing: it stands before the sound by as much as it would have
/// given behind one of its kind.
pub(super) struct Vorbis {
    state: State,
    codec: CodecConfig,
    channels: usize,
    /// Length of the short block, which is how each stream begins.
    first: u32,
    /// Length of the block before.
    last: u32,
}

impl Vorbis {
    /// An encoder of 1 or 2 channels.
    pub(super) fn new(rate: u32, channels: u8) -> Result<Self> {
        let refused = |status: i32| {
            Error::new(ErrorKind::Unsupported, ENCODE, "libvorbis refuses the settings")
                .with("sample_rate", rate)
                .with("channels", channels)
                .with("status", status)
        };
        let mut state = State::new();
        // SAFETY: `info` is initialised and empty.
        let status = unsafe { sys::vorbis_encode_init_vbr(state.info(), channels.into(), rate.into(), QUALITY) };
        if status != 0 || !state.start(sys::vorbis_analysis_init) {
            return Err(refused(status));
        }
        let mut headers = [const { MaybeUninit::<ogg_packet>::uninit() }; 3];
        let [identification, comment, setup] = &mut headers;
        // SAFETY: state and comment are initialised; the call fills all three packets where it returns
        // 0, and their bytes live until the next call.
        let headers = unsafe {
            let status = sys::vorbis_analysis_headerout(
                state.dsp(),
                state.comment(),
                identification.as_mut_ptr(),
                comment.as_mut_ptr(),
                setup.as_mut_ptr(),
            );
            if status != 0 {
                return Err(refused(status));
            }
            headers.map(|packet| bytes_of(&packet.assume_init()))
        };
        // SAFETY: `info` was set up above.
        let first = unsafe { sys::vorbis_info_blocksize(state.info(), 0) };
        let first = u32::try_from(first).map_err(|_| refused(first))?;
        Ok(Self {
            state,
            codec: CodecConfig::Vorbis(VorbisConfig {
                channels,
                sample_rate: rate,
                headers,
            }),
            channels: usize::from(channels),
            first,
            last: first,
        })
    }

    /// Tells libvorbis of `frames` more (0 is the end) and takes the packets that are ready.
    fn wrote(&mut self, frames: usize, out: &mut Vec<Packet>) -> Result<()> {
        let failed = |status: i32| Error::new(ErrorKind::Internal, ENCODE, "libvorbis failed").with("status", status);
        // SAFETY: state and block are running, and `frames` were written to the buffer that was asked
        // for; a packet is read only after the call that fills it, before the next.
        unsafe {
            let status = sys::vorbis_analysis_wrote(self.state.dsp(), frames as i32);
            if status != 0 {
                return Err(failed(status));
            }
            while sys::vorbis_analysis_blockout(self.state.dsp(), self.state.block()) == 1 {
                let status = match sys::vorbis_analysis(self.state.block(), std::ptr::null_mut()) {
                    0 => sys::vorbis_bitrate_addblock(self.state.block()),
                    refused => refused,
                };
                if status != 0 {
                    return Err(failed(status));
                }
                let mut packet = MaybeUninit::<ogg_packet>::uninit();
                while sys::vorbis_bitrate_flushpacket(self.state.dsp(), packet.as_mut_ptr()) == 1 {
                    let packet = packet.assume_init_mut();
                    let length = sys::vorbis_packet_blocksize(self.state.info(), packet);
                    let length = u32::try_from(length).map_err(|_| failed(0))?;
                    out.push(Packet {
                        data: bytes_of(packet),
                        frames: (self.last + length) / 4,
                    });
                    self.last = length;
                }
            }
        }
        Ok(())
    }
}

impl Encode for Vorbis {
    fn codec(&self) -> CodecConfig {
        self.codec.clone()
    }

    fn block(&self) -> usize {
        BLOCK
    }

    fn delay(&self) -> u32 {
        self.first / 2
    }

    fn encode(&mut self, pcm: &[f32], out: &mut Vec<Packet>) -> Result<()> {
        let frames = pcm.len() / self.channels;
        // SAFETY: the call returns a pointer a channel, each to room for `frames` values.
        unsafe {
            let planes = sys::vorbis_analysis_buffer(self.state.dsp(), frames as i32);
            if planes.is_null() {
                return Err(Error::new(ErrorKind::Internal, ENCODE, "libvorbis has no room"));
            }
            let planes = std::slice::from_raw_parts(planes, self.channels);
            for (index, frame) in pcm.chunks_exact(self.channels).enumerate() {
                for (value, plane) in frame.iter().zip(planes) {
                    *plane.add(index) = *value;
                }
            }
        }
        self.wrote(frames, out)
    }
}

/// A packet's bytes.
///
/// # Safety
/// libvorbis filled `packet`, and nothing was asked of it since.
unsafe fn bytes_of(packet: &ogg_packet) -> Bytes {
    let length = usize::try_from(packet.bytes).unwrap_or(0);
    if packet.packet.is_null() || length == 0 {
        return Bytes::new();
    }
    // SAFETY: so the caller says.
    Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(packet.packet, length) })
}
