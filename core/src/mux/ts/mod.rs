//! Gets samples from a recording.
//! Gives an MPEG transport stream (ISO/IEC 13818-1), whole at every packet.
//!
//! Every unit is one PES packet, audio frames too: a reader would have to make up the times of frames
//! that share one, and the times of the source (RTMP has milliseconds) are not evenly spaced.

use bytes::Bytes;

use super::{Finished, MuxOptions, Muxer, Output};
use crate::codec::aac::{ADTS_HEADER_BYTES, AdtsHeader};
use crate::codec::annex_b::AnnexB;
use crate::codec::nal::NalCodec;
use crate::media::limits::MAX_TRACKS;
use crate::media::{
    CodecConfig, Error, ErrorKind, H264Config, H265Config, Result, Rounding, Sample, Timescale, Timestamp, TrackConfig,
    TrackId, TrackKind,
};

mod packet;
mod pes;
mod program;
mod psi;
mod recover;
#[cfg(test)]
mod tests;

use pes::PesHeader;
use program::{Place, Program};
use psi::{Listed, stream_type};
pub use recover::recover;

/// The file's time 0 in 90 kHz ticks: 10 s. Times and clock references are unsigned, the clock is
/// [`program::LEAD`] behind, and decoding may begin before 0 by a reorder delay: 16 pictures, the most
/// that H.264 has, take 8 s at 2 pictures a second. A constant, so that the file's own times tell
/// the timeline's.
const TIME_BASE: i64 = 900_000;

/// The elementary stream of the first track; the next have the numbers after it. A track whose stream
/// type changes goes on as another elementary stream: readers take the type of one for settled.
const FIRST_PID: u16 = 0x100;

/// `stream_id` of the first video and the first audio stream (table 2-22).
const VIDEO_STREAM_ID: u8 = 0xe0;
const AUDIO_STREAM_ID: u8 = 0xc0;

/// The MPEG-TS writer.
///
/// Holds the pending packets and little else: memory does not grow with the length of the file.
#[derive(Debug)]
pub struct TsMuxer {
    tracks: Vec<Track>,
    /// For the next elementary stream.
    next_pid: u16,
    program: Program,
    buffers: Vec<Bytes>,
    written_bytes: u64,
}

#[derive(Debug)]
struct Track {
    id: TrackId,
    pid: u16,
    stream_id: u8,
    /// Whether it has had a sample.
    used: bool,
    form: Form,
}

/// How the payload of a track's samples goes into PES packets.
#[derive(Debug)]
enum Form {
    H264(ByteStream<H264Config>),
    H265(ByteStream<H265Config>),
    Aac(AdtsHeader),
    Mp3 { stream_type: u8 },
}

/// Access units made of NAL units.
#[derive(Debug)]
struct ByteStream<C> {
    config: C,
    /// The parameter sets go before the next unit even if it is no key frame: they are new.
    sets_due: bool,
}

impl<C: NalCodec + PartialEq> ByteStream<C> {
    /// Of which nothing is written yet.
    fn new(config: C) -> Self {
        Self { config, sets_due: true }
    }

    /// Goes on from `old`, whose parameter sets were told.
    fn follow(&mut self, old: &Self) {
        self.sets_due = old.sets_due || old.config != self.config;
    }

    fn unit<'a>(&'a self, sample: &'a Sample) -> Result<AnnexB<'a>> {
        AnnexB::new(&self.config, &sample.data, sample.key || self.sets_due)
    }
}

/// A sample's payload, checked.
enum Payload<'a> {
    ByteStream(AnnexB<'a>),
    Aac([u8; ADTS_HEADER_BYTES], &'a [u8]),
    Mp3(&'a [u8]),
}

impl TsMuxer {
    /// An empty file to be. A transport stream has no place for the creation time or an index.
    pub fn new(_options: MuxOptions) -> Self {
        Self {
            tracks: Vec::new(),
            next_pid: FIRST_PID,
            program: Program::default(),
            buffers: Vec::new(),
            written_bytes: 0,
        }
    }

    /// Which track carries the clock: the first video track, else the first.
    fn clock_track(&self) -> usize {
        self.tracks
            .iter()
            .position(|track| track.kind() == TrackKind::Video)
            .unwrap_or(0)
    }

    /// Takes a track that was not announced before.
    fn add(&mut self, id: TrackId, kind: TrackKind, form: Form) -> Result<()> {
        if self.tracks.len() == MAX_TRACKS {
            return Err(refused(ErrorKind::LimitExceeded, "there are too many tracks").with("most", MAX_TRACKS));
        }
        self.tracks.push(Track {
            id,
            pid: take_pid(&mut self.next_pid)?,
            stream_id: self.free_stream_id(kind),
            used: false,
            form,
        });
        Ok(())
    }

    /// The first stream id of `kind` that no other track has.
    fn free_stream_id(&self, kind: TrackKind) -> u8 {
        let first = match kind {
            TrackKind::Video => VIDEO_STREAM_ID,
            TrackKind::Audio => AUDIO_STREAM_ID,
        };
        let taken = self.tracks.iter().filter(|track| track.kind() == kind);
        taken.fold(first, |id, _| id + 1)
    }
}

impl Track {
    fn kind(&self) -> TrackKind {
        match self.form {
            Form::H264(_) | Form::H265(_) => TrackKind::Video,
            Form::Aac(_) | Form::Mp3 { .. } => TrackKind::Audio,
        }
    }

    fn stream_type(&self) -> u8 {
        self.form.stream_type()
    }

    /// Checks a sample, so that nothing can fail once its first packet is written.
    fn payload<'a>(&'a self, sample: &'a Sample) -> Result<Payload<'a>> {
        if sample.data.is_empty() {
            return Err(refused(ErrorKind::Malformed, "the sample is empty"));
        }
        match &self.form {
            Form::H264(stream) => stream.unit(sample).map(Payload::ByteStream),
            Form::H265(stream) => stream.unit(sample).map(Payload::ByteStream),
            Form::Aac(header) => {
                let header = header.for_frame(sample.data.len())?;
                Ok(Payload::Aac(header, &sample.data))
            }
            Form::Mp3 { .. } if sample.data.len() > PesHeader::MAX_BOUNDED_PAYLOAD => Err(refused(
                ErrorKind::LimitExceeded,
                "the sample is longer than a PES packet of audio can be",
            )
            .with("length_bytes", sample.data.len())
            .with("most_bytes", PesHeader::MAX_BOUNDED_PAYLOAD)),
            Form::Mp3 { .. } => Ok(Payload::Mp3(&sample.data)),
        }
    }
}

impl Form {
    fn stream_type(&self) -> u8 {
        match self {
            Self::H264(_) => stream_type::H264,
            Self::H265(_) => stream_type::H265,
            Self::Aac(_) => stream_type::AAC_ADTS,
            Self::Mp3 { stream_type } => *stream_type,
        }
    }

    /// Goes on from `old`, the form of the same track until now.
    fn follow(&mut self, old: &Self) {
        match (self, old) {
            (Self::H264(new), Self::H264(old)) => new.follow(old),
            (Self::H265(new), Self::H265(old)) => new.follow(old),
            _ => {}
        }
    }

    /// A unit is written, and what was due with it.
    fn told(&mut self) {
        match self {
            Self::H264(stream) => stream.sets_due = false,
            Self::H265(stream) => stream.sets_due = false,
            Self::Aac(_) | Self::Mp3 { .. } => {}
        }
    }

    fn new(codec: &CodecConfig) -> Result<Self> {
        match codec {
            CodecConfig::H264(config) => Ok(Self::H264(ByteStream::new(config.clone()))),
            CodecConfig::H265(config) => Ok(Self::H265(ByteStream::new(config.clone()))),
            CodecConfig::Aac(config) => AdtsHeader::new(config).map(Self::Aac),
            // The half and quarter rates are MPEG-2's (and MPEG-2.5's, which has no number of its own).
            CodecConfig::Mp3(config) if config.sample_rate < 32_000 => Ok(Self::Mp3 {
                stream_type: stream_type::MPEG2_AUDIO,
            }),
            CodecConfig::Mp3(_) => Ok(Self::Mp3 {
                stream_type: stream_type::MPEG1_AUDIO,
            }),
            other => Err(Error::new(
                ErrorKind::Unsupported,
                "add a track to a transport stream",
                "the codec has no stream type here",
            )
            .with("codec", other.name())),
        }
    }
}

impl Muxer for TsMuxer {
    fn track(&mut self, config: &TrackConfig) -> Result<()> {
        let mut form = Form::new(&config.codec)?;
        let kind = config.kind();
        let known = self.tracks.iter().position(|track| track.id == config.id);
        match known.and_then(|at| self.tracks.get_mut(at)) {
            Some(track) if track.kind() != kind => {
                return Err(refused(
                    ErrorKind::Unsupported,
                    "a track cannot turn from pictures to sound or back",
                ));
            }
            Some(track) => {
                form.follow(&track.form);
                if track.used && track.stream_type() != form.stream_type() {
                    track.pid = take_pid(&mut self.next_pid)?;
                    track.used = false;
                }
                track.form = form;
            }
            None => self.add(config.id, kind, form)?,
        }
        let listed = self.tracks.iter().map(|track| Listed {
            stream_type: track.form.stream_type(),
            pid: track.pid,
        });
        self.program.list(listed, self.clock_track());
        Ok(())
    }

    fn sample(&mut self, sample: &Sample) -> Result<()> {
        let video = self.tracks.iter().any(|track| track.kind() == TrackKind::Video);
        let mut tracks = self.tracks.iter_mut().enumerate();
        let Some((stream, track)) = tracks.find(|(_, track)| track.id == sample.track) else {
            return Err(refused(ErrorKind::InvalidState, "its track was not announced").with("track", sample.track.0));
        };
        let key_frame = sample.key && track.kind() == TrackKind::Video;
        let (pts, dts) = (ticks(sample.pts)?, ticks(sample.dts)?);
        let place = Place {
            stream,
            dts,
            random_access: key_frame || !video,
            tables_first: key_frame,
        };
        let (program, stream_id) = (&mut self.program, track.stream_id);
        let header = |payload_bytes| PesHeader::new(stream_id, pts, dts, payload_bytes);
        match track.payload(sample)? {
            Payload::ByteStream(unit) => {
                let len = unit.len_bytes();
                program.unit(place, &header(len), len, unit.slices());
            }
            Payload::Aac(adts, frame) => {
                let len = adts.len() + frame.len();
                program.unit(place, &header(len), len, [&adts, frame].into_iter());
            }
            Payload::Mp3(frame) => program.unit(place, &header(frame.len()), frame.len(), std::iter::once(frame)),
        }
        track.used = true;
        track.form.told();
        Ok(())
    }

    fn pending_bytes(&self) -> usize {
        self.program.pending_bytes()
    }

    fn projected_size(&self) -> u64 {
        self.written_bytes + self.program.pending_bytes() as u64
    }

    fn index_nearly_full(&self) -> bool {
        false
    }

    fn flush(&mut self, out: &mut dyn Output) -> Result<()> {
        let packets = self.program.take();
        if packets.is_empty() {
            return Ok(());
        }
        self.written_bytes += packets.len() as u64;
        self.buffers.push(packets);
        let appended = out.append(&mut self.buffers);
        self.buffers.clear();
        appended
    }

    /// A transport stream has no index, and the last unit of a track has no length: `end` is not told.
    fn finish(&mut self, _end: Option<Timestamp>, out: &mut dyn Output) -> Result<Finished> {
        self.flush(out)?;
        Ok(Finished::InPlace)
    }
}

/// The next free PID.
fn take_pid(next: &mut u16) -> Result<u16> {
    let pid = *next;
    if pid == psi::PMT_PID {
        return Err(refused(
            ErrorKind::Unsupported,
            "the codecs changed more often than there are stream numbers",
        ));
    }
    *next += 1;
    Ok(pid)
}

/// A moment of the file's timeline in 90 kHz ticks of the transport stream.
fn ticks(time: Timestamp) -> Result<i64> {
    let ticks = time.rescale(Timescale::MPEG, Rounding::Nearest)?.ticks();
    ticks
        .checked_add(TIME_BASE)
        .ok_or_else(|| refused(ErrorKind::LimitExceeded, "the time does not fit 64 bits").with("ticks", time.ticks()))
}

fn refused(kind: ErrorKind, message: &'static str) -> Error {
    Error::new(kind, "write to a transport stream", message)
}
