//! Gets Vorbis packets.
//! Gives their sound, through libvorbis.

use std::ptr;

use aotuv_lancer_vorbis_sys as sys;
use ogg_next_sys::ogg_packet;

use super::{DECODE, Decode, Decoded};
use crate::audio::vorbis::State;
use crate::media::{Error, ErrorKind, Result, VorbisConfig};

/// Longest header taken, in bytes: the setup headers of known encoders are 3 to 8 KB, comments hold a
/// picture at times.
const MOST_HEADER_BYTES: usize = 1024 * 1024;

/// A Vorbis decoder. The first packet of a stream decodes to nothing: it is half of the first sound.
pub(super) struct Vorbis {
    state: State,
    channels: usize,
    rate: u32,
}

impl Vorbis {
    pub(super) fn new(config: &VorbisConfig) -> Result<Self> {
        let refused = |status: i32| {
            Error::new(ErrorKind::Malformed, DECODE, "libvorbis refuses the headers").with("status", status)
        };
        let mut state = State::new();
        for (number, header) in config.headers.iter().enumerate() {
            if header.len() > MOST_HEADER_BYTES {
                return Err(
                    Error::new(ErrorKind::LimitExceeded, DECODE, "a Vorbis header is too long")
                        .with("length_bytes", header.len())
                        .with("most_bytes", MOST_HEADER_BYTES),
                );
            }
            let mut packet = packet_of(header, number == 0);
            // SAFETY: the structures are initialised; the packet is only read.
            let status = unsafe { sys::vorbis_synthesis_headerin(state.info(), state.comment(), &raw mut packet) };
            if status != 0 {
                return Err(refused(status));
            }
        }
        if !state.start(sys::vorbis_synthesis_init) {
            return Err(refused(0));
        }
        // SAFETY: the headers filled it.
        let (channels, rate) = unsafe { ((*state.info()).channels, (*state.info()).rate) };
        match (usize::try_from(channels), u32::try_from(rate)) {
            (Ok(channels @ 1..), Ok(rate)) => Ok(Self { state, channels, rate }),
            _ => Err(refused(0)),
        }
    }
}

impl Decode for Vorbis {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<Decoded> {
        let mut packet = packet_of(packet, false);
        // SAFETY: block and state are running; the packet's bytes live until the call is over.
        let status = unsafe {
            match sys::vorbis_synthesis(self.state.block(), &raw mut packet) {
                0 => sys::vorbis_synthesis_blockin(self.state.dsp(), self.state.block()),
                refused => refused,
            }
        };
        if status != 0 {
            return Err(Error::new(ErrorKind::Malformed, DECODE, "it is no Vorbis packet").with("status", status));
        }
        let mut planes: *mut *mut f32 = ptr::null_mut();
        // SAFETY: the state is running; `planes` gets one pointer a channel, each to as many values as
        // the call returns, valid until the next call.
        unsafe {
            let ready = sys::vorbis_synthesis_pcmout(self.state.dsp(), &raw mut planes);
            if let Ok(frames @ 1..) = usize::try_from(ready) {
                let planes = std::slice::from_raw_parts(planes, self.channels);
                for frame in 0..frames {
                    pcm.extend(planes.iter().map(|plane| *plane.add(frame)));
                }
                sys::vorbis_synthesis_read(self.state.dsp(), ready);
            }
        }
        Ok(Decoded {
            rate: self.rate,
            channels: self.channels,
            damaged: false,
        })
    }
}

/// A packet as libvorbis takes it; it does not write to its bytes.
fn packet_of(bytes: &[u8], first: bool) -> ogg_packet {
    ogg_packet {
        packet: bytes.as_ptr().cast_mut(),
        bytes: bytes.len() as _,
        b_o_s: first.into(),
        e_o_s: 0,
        granulepos: -1,
        packetno: 0,
    }
}
