//! Gets interleaved sound at one sample rate.
//! Gives it at another, without the resampler's delay and to the last sample.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::media::{Error, ErrorKind, Result};

const RESAMPLE: &str = "resample audio";

/// Frames in a block, as near as the two rates allow: a longer one has a steeper filter, and a delay
/// that does not matter to a file.
const BLOCK: usize = 1024;

/// Turns one sample rate into another.
pub(super) struct Resampler {
    fft: Fft<f32>,
    channels: usize,
    from: u32,
    to: u32,
    input: Vec<f32>,
    output: Vec<f32>,
    /// Frames still to be thrown away: the delay.
    skip: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    pub(super) fn new(from: u32, to: u32, channels: usize) -> Result<Self> {
        let fft = Fft::new(from as usize, to as usize, BLOCK, channels, FixedSync::Both).map_err(|error| {
            Error::new(ErrorKind::Unsupported, RESAMPLE, error.to_string())
                .with("from_hz", from)
                .with("to_hz", to)
        })?;
        Ok(Self {
            output: vec![0.0; fft.output_frames_max() * channels],
            skip: fft.output_delay(),
            fft,
            channels,
            from,
            to,
            input: Vec::new(),
            taken: 0,
            given: 0,
        })
    }

    /// Takes `pcm`; `out` gets what is ready.
    pub(super) fn push(&mut self, pcm: &[f32], out: &mut Vec<f32>) -> Result<()> {
        self.taken += (pcm.len() / self.channels) as u64;
        self.input.extend_from_slice(pcm);
        let block = self.fft.input_frames_next() * self.channels;
        let whole = self.input.len() - self.input.len() % block;
        let mut input = std::mem::take(&mut self.input);
        for block in input.chunks_exact(block) {
            self.block(block, out)?;
        }
        input.drain(..whole);
        self.input = input;
        Ok(())
    }

    fn block(&mut self, block: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let failed = |error: &dyn std::fmt::Display| Error::new(ErrorKind::Internal, RESAMPLE, error.to_string());
        let room = self.output.len() / self.channels;
        let input = InterleavedSlice::new(block, self.channels, block.len() / self.channels).map_err(|e| failed(&e))?;
        let mut output = InterleavedSlice::new_mut(&mut self.output, self.channels, room).map_err(|e| failed(&e))?;
        let (_, frames) = self
            .fft
            .process_into_buffer(&input, &mut output, None)
            .map_err(|e| failed(&e))?;
        let skipped = self.skip.min(frames);
        self.skip -= skipped;
        let ready = self.output.get(skipped * self.channels..frames * self.channels);
        out.extend_from_slice(ready.unwrap_or_default());
        self.given += (frames - skipped) as u64;
        Ok(())
    }

    /// Gives all that is left: as long as what went in, to the frame.
    pub(super) fn finish(mut self, out: &mut Vec<f32>) -> Result<()> {
        let wanted = (u128::from(self.taken) * u128::from(self.to)).div_ceil(u128::from(self.from)) as u64;
        let zeros = vec![0.0; self.fft.input_frames_next() * self.channels];
        while self.given < wanted {
            self.push(&zeros, out)?;
        }
        let over = (self.given - wanted) as usize * self.channels;
        out.truncate(out.len().saturating_sub(over));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sine_comes_out_in_place_and_to_the_last_sample() {
        for (from, to) in [(48_000, 44_100), (44_100, 48_000), (8_000, 44_100), (22_050, 48_000)] {
            let mut resampler = Resampler::new(from, to, 2).unwrap();
            let sine = |i: usize, rate: u32| (i as f64 * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin() as f32;
            let input: Vec<f32> = (0..20_000).flat_map(|i| [sine(i, from); 2]).collect();
            let mut out = Vec::new();
            for block in input.chunks(962) {
                resampler.push(block, &mut out).unwrap();
            }
            resampler.finish(&mut out).unwrap();
            let frames = out.len() / 2;
            assert_eq!(frames, (20_000 * to as usize).div_ceil(from as usize));
            for (i, frame) in out.as_chunks::<2>().0.iter().enumerate().take(frames - 3000).skip(3000) {
                // Half a sample of the source at most: its filter has an odd length at some rates.
                let most = std::f32::consts::TAU * 440.0 * 0.5 / from as f32 + 0.01;
                assert!((frame[0] - sine(i, to)).abs() < most, "{from} to {to}, frame {i}");
            }
        }
    }
}
