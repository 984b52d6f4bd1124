//! Gets G.711.
//! Gives sound: a sample value each byte.

use audio_codec_algorithms::{decode_alaw, decode_ulaw};

use super::{Decode, Decoded};
use crate::media::{G711Config, G711Law, Result};

/// A G.711 decoder. There is nothing that could be broken.
pub(super) struct G711 {
    config: G711Config,
}

impl G711 {
    pub(super) fn new(config: &G711Config) -> Self {
        Self { config: config.clone() }
    }
}

impl Decode for G711 {
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<Decoded> {
        let channels = usize::from(self.config.channels).max(1);
        let whole = packet.chunks_exact(channels).flatten();
        let law: fn(u8) -> i16 = match self.config.law {
            G711Law::A => decode_alaw,
            G711Law::Mu => decode_ulaw,
        };
        pcm.extend(whole.map(|byte| f32::from(law(*byte)) / 32_768.0));
        Ok(Decoded {
            rate: self.config.sample_rate,
            channels,
            damaged: false,
        })
    }

    fn length(&self, packet: &[u8]) -> Option<usize> {
        Some(packet.len() / usize::from(self.config.channels).max(1))
    }
}
