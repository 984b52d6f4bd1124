//! Gets sound and how much longer (or shorter) it is to become, in millionths.
//! Gives it that long, by moving on between its samples by a little more or less than one.
//!
//! Where nothing is to be changed and nothing was, the samples pass as they are.

use std::f64::consts::PI;
use std::sync::OnceLock;

/// Samples on each side of a moment that make the one there.
const HALF: usize = 16;
const TAPS: usize = 2 * HALF;

/// Moments between two samples that the table holds; between these it is interpolated: 90 dB.
const PHASES: usize = 256;

/// Shape of the Kaiser window: 80 dB of attenuation.
const BETA: f64 = 8.0;

/// A windowed sinc for each phase, and one more for the interpolation.
fn table() -> &'static [[f32; TAPS]] {
    static TABLE: OnceLock<Vec<[f32; TAPS]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        (0..=PHASES)
            .map(|phase| {
                let shift = phase as f64 / PHASES as f64;
                let mut taps = [0.0; TAPS];
                for (index, tap) in taps.iter_mut().enumerate() {
                    // The moment lies `shift` behind the sample at HALF - 1.
                    let x = index as f64 - (HALF - 1) as f64 - shift;
                    *tap = (sinc(x) * kaiser(x / HALF as f64)) as f32;
                }
                taps
            })
            .collect()
    })
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    bessel(BETA * (1.0 - x * x).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of the first kind and order zero, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// Changes the speed of interleaved sound.
#[derive(Debug)]
pub(super) struct Stretch {
    channels: usize,
    /// What went in and may still be needed, interleaved. It begins with `HALF - 1` frames before the
    /// first that is still to come out.
    held: Vec<f32>,
    /// Frame of `held` at or before the next moment, and how far behind it that is, 0 to 1.
    at: usize,
    shift: f64,
}

impl Stretch {
    pub(super) fn new(channels: usize) -> Self {
        Self {
            channels,
            held: vec![0.0; (HALF - 1) * channels],
            at: HALF - 1,
            shift: 0.0,
        }
    }

    /// Frames that went in and did not come out.
    pub(super) fn pending(&self) -> f64 {
        self.frames() as f64 - self.at as f64 - self.shift
    }

    fn frames(&self) -> usize {
        self.held.len() / self.channels
    }

    /// Takes `pcm`; `out` gets what can be told by now, at `step` frames of input a frame.
    pub(super) fn push(&mut self, pcm: &[f32], step: f64, out: &mut Vec<f32>) {
        self.held.extend_from_slice(pcm);
        if self.shift == 0.0 && step == 1.0 {
            let end = self.frames().saturating_sub(HALF).max(self.at);
            if let Some(ready) = self.held.get(self.at * self.channels..end * self.channels) {
                out.extend_from_slice(ready);
                self.at = end;
            }
        } else {
            self.interpolate(step, out);
        }
        let done = (self.at + 1).saturating_sub(HALF) * self.channels;
        self.held.drain(..done.min(self.held.len()));
        self.at -= done / self.channels;
    }

    fn interpolate(&mut self, step: f64, out: &mut Vec<f32>) {
        let table = table();
        while self.at + HALF < self.frames() {
            let phase = self.shift * PHASES as f64;
            let index = phase as usize;
            let between = (phase - index as f64) as f32;
            let from = (self.at + 1 - HALF) * self.channels;
            let (Some(near), Some(far), Some(window)) = (
                table.get(index),
                table.get(index + 1),
                self.held.get(from..from + TAPS * self.channels),
            ) else {
                return;
            };
            match self.channels {
                1 => {
                    let mut sum = 0.0;
                    for ((near, far), value) in near.iter().zip(far).zip(window) {
                        sum += (near + (far - near) * between) * value;
                    }
                    out.push(sum);
                }
                _ => {
                    let (mut left, mut right) = (0.0, 0.0);
                    for ((near, far), frame) in near.iter().zip(far).zip(window.as_chunks::<2>().0) {
                        let tap = near + (far - near) * between;
                        left += tap * frame[0];
                        right += tap * frame[1];
                    }
                    out.extend_from_slice(&[left, right]);
                }
            }
            self.shift += step;
            let whole = self.shift.floor();
            self.at += whole as usize;
            self.shift -= whole;
        }
    }

    /// Gives all that is left, and begins anew.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) {
        let wanted = self.pending().round().max(0.0) as usize * self.channels;
        let before = out.len();
        let zeros = vec![0.0; (HALF + 1) * self.channels];
        self.push(&zeros, 1.0, out);
        out.truncate(before + wanted);
        *self = Self::new(self.channels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &[f32], channels: usize, step: f64) -> Vec<f32> {
        let mut stretch = Stretch::new(channels);
        let mut out = Vec::new();
        for block in input.chunks(333 * channels) {
            stretch.push(block, step, &mut out);
        }
        stretch.finish(&mut out);
        out
    }

    #[test]
    fn sound_at_its_own_speed_passes_as_it_is() {
        let input: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.1).sin()).collect();
        assert_eq!(run(&input, 1, 1.0), input);
        assert_eq!(run(&input, 2, 1.0), input);
    }

    #[test]
    fn a_sine_made_longer_is_a_sine_of_that_pitch() {
        let sine = |i: f64| (i * 0.9).sin();
        for step in [0.9995, 1.0005] {
            let input: Vec<f32> = (0..20_000).flat_map(|i| [sine(f64::from(i)) as f32; 2]).collect();
            let out = run(&input, 2, step);
            let frames = out.len() / 2;
            assert!((frames as f64 - 20_000.0 / step).abs() < 2.0, "{frames}");
            for (i, frame) in out.as_chunks::<2>().0.iter().enumerate().take(frames - 40).skip(40) {
                let wanted = sine(i as f64 * step) as f32;
                assert!((frame[0] - wanted).abs() < 0.001, "{i}: {} {wanted}", frame[0]);
                assert!((frame[1] - wanted).abs() < 0.001);
            }
        }
    }
}
