//! Gets blocks of sound at the source's sample rate, with the time of each.
//! Gives one unbroken run of sound at the output's rate; knows where each frame of it stands in time.

use super::clock::{Clock, Judgement};
use super::resample::Resampler;
use super::stretch::Stretch;
use crate::media::{Result, Rounding, Timescale, Timestamp};

/// Most frames of silence put in at once: it bounds the memory that a long hole takes.
pub(super) const SILENCE_FRAMES: usize = 4096;

/// A splice is smoothed over this part of a second: 5 ms.
const SPLICE_PART: u32 = 200;

/// One run of sound, from its first frame on.
pub(super) struct Line {
    /// Time of the first frame, in flicks.
    origin: i64,
    rate: u32,
    output_rate: u32,
    channels: usize,
    stretch: Stretch,
    resampler: Option<Resampler>,
    clock: Clock,
    /// Frames that left the stretch at the present rate.
    emitted: u64,
    /// Output frames that there are, and that there were when the present rate began.
    given: u64,
    given_before: u64,
    splice: Splice,
    /// Whether the last that was put in is silence.
    silent: bool,
    /// Whether the next block is put exactly where its time says.
    anew: bool,
    stretched: Vec<f32>,
    block: Vec<f32>,
}

/// Where two pieces meet that do not continue each other, the second is bent to begin where the first
/// ended, by less and less: no step, no click.
struct Splice {
    last: [f32; 2],
    bend: [f32; 2],
    left: u32,
    due: bool,
}

impl Splice {
    fn smooth(&mut self, rate: u32, channels: usize, pcm: &mut [f32]) {
        let length = (rate / SPLICE_PART).max(1);
        if self.due
            && let Some(first) = pcm.get(..channels)
        {
            for ((bend, last), first) in self.bend.iter_mut().zip(self.last).zip(first) {
                *bend = last - first;
            }
            self.left = length;
            self.due = false;
        }
        if self.left > 0 {
            for frame in pcm.chunks_exact_mut(channels) {
                if self.left == 0 {
                    break;
                }
                let part = self.left as f32 / length as f32;
                for (value, bend) in frame.iter_mut().zip(self.bend) {
                    *value += bend * part;
                }
                self.left -= 1;
            }
        }
        if let Some(last) = pcm.len().checked_sub(channels).and_then(|at| pcm.get(at..)) {
            for (kept, value) in self.last.iter_mut().zip(last) {
                *kept = *value;
            }
        }
    }
}

impl Line {
    /// A run whose first frame stands at `origin`.
    pub(super) fn new(origin: Timestamp, rate: u32, output_rate: u32, channels: usize) -> Result<Self> {
        Ok(Self {
            origin: flicks(origin)?,
            rate,
            output_rate,
            channels,
            stretch: Stretch::new(channels),
            resampler: resampler(rate, output_rate, channels)?,
            clock: Clock::default(),
            emitted: 0,
            given: 0,
            given_before: 0,
            splice: Splice {
                last: [0.0; 2],
                bend: [0.0; 2],
                left: 0,
                due: false,
            },
            silent: false,
            anew: true,
            stretched: Vec::new(),
            block: Vec::new(),
        })
    }

    /// Sample rate of what is put in now, in Hz.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Whether the last that was put in is silence.
    pub(super) fn silent(&self) -> bool {
        self.silent
    }

    /// The drift followed now, in millionths.
    pub(super) fn drift_ppm(&self) -> i32 {
        (self.clock.speed() * 1e6).round() as i32
    }

    /// Seconds from the end of the run to `time`; negative where that time is taken already.
    pub(super) fn ahead(&self, time: Timestamp) -> Result<f64> {
        let since = i128::from(flicks(time)?) - i128::from(self.origin);
        let since = since as f64 / f64::from(Timescale::FLICKS.get());
        let before = self.given_before as f64 / f64::from(self.output_rate);
        Ok(since - before - (self.emitted as f64 + self.stretch.pending()) / f64::from(self.rate))
    }

    /// The next block comes from another source: it is put exactly where its time says.
    pub(super) fn begin_anew(&mut self) {
        self.anew = true;
    }

    /// What a block is that is `error` seconds ahead. Behind silence each block finds its own place.
    pub(super) fn judge(&mut self, error: f64) -> Judgement {
        if self.silent || self.anew {
            Judgement::Break(error)
        } else {
            self.clock.judge(error)
        }
    }

    /// What a doubtful block is, its successor being `next` seconds ahead if nothing is done about it.
    pub(super) fn judge_with_next(&self, error: f64, next: f64) -> Judgement {
        if self.silent || self.anew {
            Judgement::Break(error)
        } else {
            self.clock.judge_with_next(error, next)
        }
    }

    /// What is put in next does not continue what was put in last.
    pub(super) fn splice(&mut self) {
        self.splice.due = true;
    }

    /// Puts in a block that is `error` seconds ahead, which is left to the clock; `out` gets what is
    /// ready, at the output's rate.
    pub(super) fn append(&mut self, pcm: &[f32], error: f64, out: &mut Vec<f32>) -> Result<()> {
        let length = (pcm.len() / self.channels) as f64 / f64::from(self.rate);
        if self.silent || self.anew {
            if self.emitted > 0 || self.stretch.pending() > 0.0 {
                self.splice();
            }
            self.clock.restart();
            (self.silent, self.anew) = (false, false);
        }
        let speed = self.clock.settle(error, length);
        self.put(pcm, 1.0 / (1.0 + speed), out)
    }

    /// Puts in what a decoder made up, as long as it is.
    pub(super) fn append_concealed(&mut self, pcm: &[f32], out: &mut Vec<f32>) -> Result<()> {
        self.put(pcm, 1.0, out)
    }

    /// Puts in silence, of [`SILENCE_FRAMES`] at most.
    pub(super) fn append_silence(&mut self, frames: usize, out: &mut Vec<f32>) -> Result<()> {
        if !self.silent {
            self.splice();
            self.silent = true;
        }
        let zeros = [0.0; 2 * SILENCE_FRAMES];
        let silence = zeros.get(..frames * self.channels);
        self.put(silence.unwrap_or(&zeros), 1.0, out)
    }

    fn put(&mut self, pcm: &[f32], step: f64, out: &mut Vec<f32>) -> Result<()> {
        self.block.clear();
        self.block.extend_from_slice(pcm);
        self.splice.smooth(self.rate, self.channels, &mut self.block);
        self.stretched.clear();
        self.stretch.push(&self.block, step, &mut self.stretched);
        self.resample(out)
    }

    fn resample(&mut self, out: &mut Vec<f32>) -> Result<()> {
        self.emitted += (self.stretched.len() / self.channels) as u64;
        let before = out.len();
        match &mut self.resampler {
            Some(resampler) => resampler.push(&self.stretched, out)?,
            None => out.extend_from_slice(&self.stretched),
        }
        self.given += ((out.len() - before) / self.channels) as u64;
        Ok(())
    }

    /// What is put in from here on has another sample rate.
    pub(super) fn change_rate(&mut self, rate: u32, out: &mut Vec<f32>) -> Result<()> {
        let resampler = resampler(rate, self.output_rate, self.channels)?;
        self.finish(out)?;
        self.resampler = resampler;
        self.rate = rate;
        self.given_before = self.given;
        self.emitted = 0;
        self.splice();
        Ok(())
    }

    /// Gives all that is left.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) -> Result<()> {
        self.stretched.clear();
        self.stretch.finish(&mut self.stretched);
        self.resample(out)?;
        if let Some(resampler) = self.resampler.take() {
            let before = out.len() as i64;
            resampler.finish(out)?;
            let more = (out.len() as i64 - before) / self.channels as i64;
            self.given = self.given.saturating_add_signed(more);
        }
        Ok(())
    }
}

fn flicks(time: Timestamp) -> Result<i64> {
    Ok(time.rescale(Timescale::FLICKS, Rounding::Nearest)?.ticks())
}

fn resampler(rate: u32, output_rate: u32, channels: usize) -> Result<Option<Resampler>> {
    (rate != output_rate)
        .then(|| Resampler::new(rate, output_rate, channels))
        .transpose()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const RATE: u32 = 16_000;

    fn bends(pcm: &[f32]) -> f32 {
        pcm.windows(3)
            .map(|part| (part[2] - 2.0 * part[1] + part[0]).abs())
            .fold(0.0, f32::max)
    }

    /// Largest second difference of a sine of full scale: any click is far larger.
    fn own_bend(hz: f64) -> f32 {
        (TAU * hz / f64::from(RATE)).powi(2) as f32
    }

    #[test]
    fn drift_of_200_ppm_is_corrected_without_a_click_over_10_min() {
        for drift in [200e-6, -200e-6] {
            let seconds = |frame: f64| frame / f64::from(RATE) * (1.0 + drift);
            let mut line = Line::new(Timestamp::from_ms(0), RATE, RATE, 1).unwrap();
            let mut out = Vec::new();
            let mut farthest = 0.0_f64;
            for block in 0..30_000 {
                let first = f64::from(block) * 320.0;
                let pcm: Vec<f32> = (0..320)
                    .map(|frame| (TAU * 440.0 * seconds(first + f64::from(frame))).sin() as f32)
                    .collect();
                let time = Timestamp::new((seconds(first) * 90_000.0).round() as i64, Timescale::MPEG);
                let error = line.ahead(time).unwrap();
                assert!(block == 0 || line.judge(error) == Judgement::Steady);
                farthest = farthest.max(error.abs());
                line.append(&pcm, error, &mut out).unwrap();
            }
            line.finish(&mut out).unwrap();
            let left = out.len() as f64 / f64::from(RATE) - seconds(320.0 * 30_000.0);
            println!(
                "{drift}: {:.2} ms at most, {:.2} ms at the end",
                farthest * 1e3,
                left * 1e3
            );
            assert!(farthest < 0.003 && left.abs() < 0.002);
            assert!(bends(&out[100..out.len() - 100]) < own_bend(440.0) * 1.02);
        }
    }

    #[test]
    fn pieces_that_do_not_continue_each_other_meet_without_a_step() {
        let mut line = Line::new(Timestamp::from_ms(0), RATE, RATE, 1).unwrap();
        let mut out = Vec::new();
        let tone = |hz: f64| (0..1600).map(move |i| (TAU * hz * f64::from(i) / f64::from(RATE)).cos() as f32);
        line.append(&tone(100.0).collect::<Vec<_>>(), 0.0, &mut out).unwrap();
        line.append_silence(4000, &mut out).unwrap();
        line.append(&tone(130.0).collect::<Vec<_>>(), 0.0, &mut out).unwrap();
        line.splice();
        line.append(&tone(150.0).map(|value| -value).collect::<Vec<_>>(), 0.0, &mut out)
            .unwrap();
        line.finish(&mut out).unwrap();
        assert_eq!(out.len(), 3 * 1600 + 4000);
        let step = out.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(step < 0.1, "{step}");
    }
}
