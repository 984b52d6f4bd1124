//! Gets the tracks of a stream, and what its container can carry.
//! Gives each track as the container gets it: as it came, or its sound in another codec.

use std::sync::Arc;
use std::time::Duration;

use super::plan::Plan;
use super::timeline::{flicks, from_ms};
use crate::audio::{Target, Transcoder};
use crate::media::{
    CodecConfig, Container, Error, ErrorKind, Result, Sample, Timescale, Timestamp, TrackConfig, TrackId, TrackKind,
};

/// Sound that is transcoded and does not come is filled with silence when pictures are so far ahead.
const SILENCE_AFTER_MS: i64 = 1000;

/// What of that is left for sound that is only late.
const SILENCE_SPARES_MS: i64 = 500;

/// A track of the recording.
pub(super) struct Track {
    /// As the stream describes it.
    pub(super) config: Arc<TrackConfig>,
    /// Turns its sound into what the container takes.
    transcoder: Option<Box<Transcoder>>,
    /// What that was made for.
    target: Option<Target>,
    /// Where its last sample in a file lies on the timeline, in flicks.
    pub(super) seen: Option<i64>,
    pub(super) last_arrival: Duration,
    /// Its configuration is not in the part that grows: a new part has to begin with its next key frame.
    pub(super) needs_part: bool,
    /// No part can carry it.
    pub(super) unsupported: bool,
    /// What lies before, in flicks, is left out: it belonged to a file of another container.
    pub(super) not_before: i64,
    /// Pictures of a new connection can be decoded from its first key frame on only.
    pub(super) needs_key: bool,
}

impl Track {
    pub(super) fn new(config: Arc<TrackConfig>) -> Self {
        Self {
            config,
            transcoder: None,
            target: None,
            seen: None,
            last_arrival: Duration::ZERO,
            needs_part: false,
            unsupported: false,
            not_before: i64::MIN,
            needs_key: false,
        }
    }

    pub(super) fn id(&self) -> TrackId {
        self.config.id
    }

    pub(super) fn kind(&self) -> TrackKind {
        self.config.kind()
    }

    /// As the file describes it.
    pub(super) fn written(&self) -> &TrackConfig {
        self.transcoder
            .as_ref()
            .map_or(&self.config, |transcoder| transcoder.config())
    }

    /// Puts a transcoder in where `container` cannot carry the sound as it comes, and one for another
    /// container out.
    ///
    /// # Errors
    /// `Unsupported` where there is none for it, or it does not take the headers.
    pub(super) fn fit(&mut self, plan: &Plan, container: Container) -> Result<()> {
        let target = plan.sound.target(container, &self.config.codec);
        if target == self.target {
            return Ok(());
        }
        self.transcoder = None;
        self.target = None;
        if let Some(wanted) = &target {
            let made = Transcoder::new(&self.config, wanted).map_err(unsupported)?;
            self.transcoder = Some(Box::new(made));
        }
        self.target = target;
        Ok(())
    }

    /// The stream describes it anew. `true` where the file sees nothing of it.
    ///
    /// # Errors
    /// `Unsupported` where the transcoder does not take it; it is taken out then.
    pub(super) fn reconfigure(&mut self, config: &Arc<TrackConfig>) -> Result<bool> {
        self.config = Arc::clone(config);
        let Some(transcoder) = &mut self.transcoder else {
            return Ok(false);
        };
        if let Err(error) = transcoder.reconfigure(config) {
            self.transcoder = None;
            self.target = None;
            return Err(unsupported(error));
        }
        Ok(true)
    }

    /// Turns a placed sample into what the file gets: itself, or any number of others. Tells how many
    /// were lost because they could not be decoded or encoded.
    pub(super) fn encode(&mut self, sample: Sample, out: &mut Vec<Sample>) -> u64 {
        let Some(transcoder) = &mut self.transcoder else {
            out.push(sample);
            return 0;
        };
        let before = transcoder.counters().decode_errors;
        let refused = logged(transcoder.sample(&sample, out));
        transcoder.counters().decode_errors - before + u64::from(refused)
    }

    /// Fills sound up with silence that has not come while pictures are at `moment`, in flicks. What is
    /// longer than a transcoder fills stays a hole.
    pub(super) fn keep_up(&mut self, moment: i64, out: &mut Vec<Sample>) {
        let behind = self.seen.is_some_and(|seen| moment - seen > from_ms(SILENCE_AFTER_MS));
        if let Some(transcoder) = &mut self.transcoder
            && behind
        {
            let until = Timestamp::new(moment - from_ms(SILENCE_SPARES_MS), Timescale::FLICKS);
            logged(transcoder.silence_until(until, out));
        }
    }

    /// Everything that went in comes out.
    pub(super) fn finish(&mut self, out: &mut Vec<Sample>) {
        if let Some(transcoder) = &mut self.transcoder {
            logged(transcoder.finish(out));
        }
    }

    /// How long a sample lasts that was encoded here, in flicks; `None` where samples are as they came.
    pub(super) fn encoded_length(&self) -> Option<i64> {
        let config = self.transcoder.as_ref()?.config();
        let ticks = match &config.codec {
            CodecConfig::Aac(aac) => aac.frame_samples,
            // 20 ms at 48 kHz, and a long block of Vorbis at the rates it is used with.
            CodecConfig::Opus(_) => 960,
            _ => 1024,
        };
        flicks(Timestamp::new(i64::from(ticks), config.timescale)).ok()
    }
}

/// What goes wrong with the sound of a track is no reason to end a recording.
fn unsupported(error: Error) -> Error {
    let message = error.message().to_owned();
    Error::new(ErrorKind::Unsupported, "turn sound into what its file takes", message).because(error)
}

/// Whether it went wrong.
fn logged(result: Result<()>) -> bool {
    result
        .inspect_err(|error| tracing::debug!(%error, "sound was lost"))
        .is_err()
}
