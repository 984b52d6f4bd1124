//! Gets the samples of one audio track, with their times.
//! Gives them in another codec, as one unbroken track: the spine of this folder.

use std::time::Duration;

use super::clock::Judgement;
use super::decode::{Decoded, Decoder};
use super::encode::{Encoder, output_rate};
use super::line::{Line, SILENCE_FRAMES};
use super::{Counters, MAX_FILL, Target};
use crate::media::{Error, ErrorKind, Result, Rounding, Sample, Timestamp, TrackConfig};

const TRANSCODE: &str = "transcode audio";

/// Longest hole that a decoder conceals in whole, in seconds: three packets. What it makes up for more
/// is no better than silence.
const CONCEALED: f64 = 0.060_5;

/// Of a longer hole, how much at its beginning a decoder fades out, in seconds.
const FADED: f64 = 0.020;

/// Turns the samples of one audio track into another codec.
///
/// Times are those of the content: the first sample in begins at its `pts` in what comes out. The
/// encoder's delay lies before it, so the first samples out may be before the first one in.
///
/// After an error of [`Transcoder::sample`], [`Transcoder::silence_until`] or [`Transcoder::finish`] other
/// than `LimitExceeded` and `InvalidState` the encoder has failed, and the transcoder is of no more use.
pub struct Transcoder {
    target: Target,
    config: TrackConfig,
    decoder: Decoder,
    encoder: Encoder,
    /// From the first sample that decoded to sound.
    line: Option<Line>,
    /// A sample whose time is doubtful, until the next one tells.
    held: Option<Sample>,
    counters: Counters,
    finished: bool,
    /// What a change of configuration pushed out, for the next call to hand over.
    pending: Vec<Sample>,
    pcm: Vec<f32>,
    ready: Vec<f32>,
}

impl std::fmt::Debug for Transcoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcoder")
            .field("target", &self.target)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl Transcoder {
    /// A transcoder of the track `from` to `target`.
    ///
    /// # Errors
    /// `Unsupported` where there is no decoder or encoder for it (the feature `fdk-aac` is off, a
    /// combination of rate and channels that an encoder refuses), `InvalidArgument` where a setting is
    /// out of range or the track is no audio, `Malformed` where the source's headers are.
    pub fn new(from: &TrackConfig, target: &Target) -> Result<Self> {
        let encoder = Encoder::new(from.id, target)?;
        Ok(Self {
            decoder: Decoder::new(&from.codec, target.channels)?,
            config: TrackConfig {
                id: from.id,
                timescale: encoder.scale(),
                codec: encoder.codec(),
            },
            encoder,
            target: target.clone(),
            line: None,
            held: None,
            counters: Counters::default(),
            finished: false,
            pending: Vec::new(),
            pcm: Vec::new(),
            ready: Vec::new(),
        })
    }

    /// The track as it comes out: the source's number, the output's sample rate as timescale, the
    /// encoder's headers. It never changes.
    pub fn config(&self) -> &TrackConfig {
        &self.config
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        Counters {
            drift_ppm: self.line.as_ref().map_or(0, Line::drift_ppm),
            ..self.counters
        }
    }

    /// Takes the next sample; its time may have any timescale. `out` gets what is ready, which may be
    /// nothing: all of one length, each where the last one ends.
    ///
    /// A sample that cannot be decoded is counted, and its time is filled. One whose time is taken
    /// already is dropped, as far as it is.
    ///
    /// # Errors
    /// `InvalidState` after [`Transcoder::finish`], `LimitExceeded` where the time does not fit 64 bits,
    /// `Internal` where the encoder fails.
    pub fn sample(&mut self, sample: &Sample, out: &mut Vec<Sample>) -> Result<()> {
        self.open(out)?;
        self.counters.samples_in += 1;
        if let Some(held) = self.held.take() {
            let next = self.ahead(sample.pts)? - self.decoder.length(&held.data);
            let error = self.ahead(held.pts)?;
            let judgement = self
                .line
                .as_ref()
                .map_or(Judgement::Steady, |line| line.judge_with_next(error, next));
            self.place(&held, judgement, out)?;
        }
        let error = self.ahead(sample.pts)?;
        let judgement = self.line.as_mut().map_or(Judgement::Steady, |line| line.judge(error));
        if judgement == Judgement::Doubtful {
            self.held = Some(sample.clone());
            return Ok(());
        }
        self.place(sample, judgement, out)
    }

    /// The source's sample rate, channels or codec change from the next sample on; the output goes on
    /// as it is.
    ///
    /// # Errors
    /// As [`Transcoder::new`]; then all stays as it was.
    pub fn reconfigure(&mut self, from: &TrackConfig) -> Result<()> {
        self.check_open()?;
        let decoder = Decoder::new(&from.codec, self.target.channels)?;
        let mut pending = std::mem::take(&mut self.pending);
        let result = self
            .place_held(&mut pending)
            .and_then(|()| self.drain_decoder(&mut pending));
        self.pending = pending;
        self.decoder = decoder;
        if let Some(line) = &mut self.line {
            line.begin_anew();
        }
        result
    }

    /// Fills with silence up to `until` where nothing came: mute, a sender that says nothing while there
    /// is nothing to say, a track that stopped. Before the first sample there is nothing to fill. A
    /// sample that comes later with an earlier time is cut to what is after it.
    ///
    /// # Errors
    /// `LimitExceeded` where more than [`MAX_FILL`] would have to be filled (call it more often),
    /// otherwise as [`Transcoder::sample`].
    pub fn silence_until(&mut self, until: Timestamp, out: &mut Vec<Sample>) -> Result<()> {
        self.open(out)?;
        self.place_held(out)?;
        let Some(line) = &self.line else { return Ok(()) };
        let missing = line.ahead(until)?;
        if missing > MAX_FILL.as_secs_f64() {
            return Err(
                Error::new(ErrorKind::LimitExceeded, TRANSCODE, "the silence is too long")
                    .with("length_s", missing.round())
                    .with("most_s", MAX_FILL.as_secs()),
            );
        }
        let frames = missing * f64::from(line.rate());
        if frames >= 1.0 {
            self.counters.silence_time += Duration::from_secs_f64(missing);
            self.silence(frames as u64, out)?;
        }
        self.encode(out)
    }

    /// Flushes decoder, resampler and encoder: everything that went in comes out. The last sample is
    /// filled up with silence.
    ///
    /// # Errors
    /// As [`Transcoder::sample`].
    pub fn finish(&mut self, out: &mut Vec<Sample>) -> Result<()> {
        self.open(out)?;
        self.place_held(out)?;
        self.drain_decoder(out)?;
        self.finished = true;
        self.flush(out)
    }

    fn check_open(&self) -> Result<()> {
        if self.finished {
            return Err(Error::new(ErrorKind::InvalidState, TRANSCODE, "it is finished"));
        }
        Ok(())
    }

    fn open(&mut self, out: &mut Vec<Sample>) -> Result<()> {
        self.check_open()?;
        out.append(&mut self.pending);
        Ok(())
    }

    /// Seconds from the end of what there is to the sound of a sample with this time.
    fn ahead(&self, time: Timestamp) -> Result<f64> {
        match &self.line {
            Some(line) => Ok(line.ahead(time)? - self.decoder.delay()),
            None => Ok(0.0),
        }
    }

    /// Places a held sample by its own time alone: there is no next one to ask.
    fn place_held(&mut self, out: &mut Vec<Sample>) -> Result<()> {
        let Some(held) = self.held.take() else { return Ok(()) };
        let error = self.ahead(held.pts)?;
        self.place(&held, Judgement::Break(error), out)
    }

    /// Fills the hole before a sample, decodes it and puts it where it belongs.
    fn place(&mut self, sample: &Sample, judgement: Judgement, out: &mut Vec<Sample>) -> Result<()> {
        let gap = match judgement {
            Judgement::Break(seconds) => seconds,
            Judgement::Steady | Judgement::Doubtful => 0.0,
        };
        if gap > MAX_FILL.as_secs_f64() {
            self.jump(out)?;
        } else if gap > 0.0 {
            self.fill(gap, &sample.data, out)?;
        }
        self.pcm.clear();
        let Ok(decoded) = self.decoder.decode(&sample.data, &mut self.pcm) else {
            self.counters.decode_errors += 1;
            return self.encode(out);
        };
        if decoded.damaged {
            self.counters.decode_errors += 1;
        }
        if self.pcm.is_empty() {
            return self.encode(out);
        }
        let cut = match self.line {
            Some(_) => (-gap).max(0.0),
            None => self.begin(sample.pts, decoded)?,
        };
        self.put(sample.pts, decoded, cut)?;
        self.encode(out)
    }

    /// Begins the output at `time`. Returns how much of the first block, in seconds, comes before it.
    fn begin(&mut self, time: Timestamp, decoded: Decoded) -> Result<f64> {
        let line = Line::new(time, decoded.rate, output_rate(&self.target), decoded.channels)?;
        let at = time.rescale(self.encoder.scale(), Rounding::Nearest)?;
        self.encoder.begin_at(at.ticks());
        self.line = Some(line);
        Ok(self.decoder.delay())
    }

    /// Puts the block in `pcm`, of a sample at `time`, behind what there is, without its first `cut`
    /// seconds.
    fn put(&mut self, time: Timestamp, decoded: Decoded, cut: f64) -> Result<()> {
        let frames = self.pcm.len() / decoded.channels;
        if let Some(line) = &mut self.line
            && line.rate() != decoded.rate
        {
            line.change_rate(decoded.rate, &mut self.ready)?;
        }
        let error = self.ahead(time)?;
        let Some(line) = &mut self.line else { return Ok(()) };
        let dropped = ((cut * f64::from(decoded.rate)).round() as usize).min(frames);
        let cut = dropped as f64 / f64::from(decoded.rate);
        if dropped > 0 {
            self.counters.cut_time += Duration::from_secs_f64(cut);
            line.splice();
        }
        match self.pcm.get(dropped * decoded.channels..) {
            Some(rest) if !rest.is_empty() => line.append(rest, error + cut, &mut self.ready),
            _ => Ok(()),
        }
    }

    /// Fills a hole of `gap` seconds before the packet `next`: made up by the decoder where it is short,
    /// else faded by it and silent.
    fn fill(&mut self, gap: f64, next: &[u8], out: &mut Vec<Sample>) -> Result<()> {
        let Some(line) = &mut self.line else { return Ok(()) };
        let rate = f64::from(line.rate());
        let mut left = (gap * rate).round() as usize;
        if left == 0 {
            return Ok(());
        }
        self.counters.gaps += 1;
        self.counters.gap_time += Duration::from_secs_f64(gap);
        if !line.silent() {
            let (length, next, rest) = if gap <= CONCEALED {
                (left, next, 0)
            } else {
                let faded = (FADED * rate) as usize;
                (faded, &[][..], left.saturating_sub(faded))
            };
            self.pcm.clear();
            match self.decoder.conceal(length, next, &mut self.pcm) {
                Some(made) if made.rate == line.rate() => {
                    line.append_concealed(&self.pcm, &mut self.ready)?;
                    let frames = self.pcm.len() / made.channels;
                    self.counters.concealed += 1;
                    self.counters.concealed_time += Duration::from_secs_f64(frames as f64 / rate);
                    left = rest;
                }
                _ => {}
            }
        }
        self.silence(left as u64, out)
    }

    /// Puts in silence, and encodes it as it goes: a long one is never held as a whole.
    fn silence(&mut self, frames: u64, out: &mut Vec<Sample>) -> Result<()> {
        let mut left = frames;
        while left > 0 {
            let Some(line) = &mut self.line else { return Ok(()) };
            let part = left.min(SILENCE_FRAMES as u64);
            left -= part;
            line.append_silence(part as usize, &mut self.ready)?;
            self.encode(out)?;
        }
        Ok(())
    }

    /// Ends what there is, so that the output can begin again at another time.
    fn jump(&mut self, out: &mut Vec<Sample>) -> Result<()> {
        self.flush(out)?;
        self.counters.jumps += 1;
        self.encoder = Encoder::new(self.config.id, &self.target)?;
        self.line = None;
        Ok(())
    }

    fn drain_decoder(&mut self, out: &mut Vec<Sample>) -> Result<()> {
        self.pcm.clear();
        if let Some(decoded) = self.decoder.finish(&mut self.pcm)
            && let Some(line) = &mut self.line
            && line.rate() == decoded.rate
            && !line.silent()
        {
            line.append_concealed(&self.pcm, &mut self.ready)?;
        }
        self.encode(out)
    }

    fn flush(&mut self, out: &mut Vec<Sample>) -> Result<()> {
        if let Some(line) = &mut self.line {
            line.finish(&mut self.ready)?;
        }
        self.encode(out)?;
        self.encoder.finish(out)
    }

    fn encode(&mut self, out: &mut Vec<Sample>) -> Result<()> {
        let result = self.encoder.push(&self.ready, out);
        self.ready.clear();
        result
    }
}
