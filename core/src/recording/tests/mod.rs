//! Whole recordings under a simulated clock: units in, files out, read back by the crate `mp4`.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::clock::Now;
use super::inlet::{Inlet, Told};
use super::naming::{NameOptions, Template};
use super::plan::{Containers, Naming, Plan, Sound};
use super::recording::Recording;
use super::report::{FinishedFile, PartEnd, Report, Reporter, SessionIdentity};
use super::rotation::RotationLimit;
use super::status::Status;
use super::writers::{Job, Waker};
use crate::codec::h264::parse_avcc;
use crate::media::sync::Mutex;
use crate::media::{
    AacConfig, CodecConfig, Container, Sample, Timescale, Timestamp, TrackConfig, TrackId, TrackKind, Unit, UnixMs,
};
use crate::storage::fs::OsFileSystem;
use crate::storage::growing::Folders;

#[cfg(feature = "fdk-aac")]
mod drift;
mod life;
mod reconnect;
mod rotation;
#[cfg(feature = "fdk-aac")]
mod sound;

const VIDEO: TrackId = TrackId(1);
const AUDIO: TrackId = TrackId(2);

/// A baseline configuration of 64 x 64 pixels, level 1.
fn video() -> TrackConfig {
    const SPS: [u8; 7] = [0x67, 0x42, 0xc0, 0x0a, 0xdc, 0x42, 0x64];
    const PPS: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];
    let mut avcc = vec![1, 0x42, 0xc0, 0x0a, 0xff, 0xe1, 0, SPS.len() as u8];
    avcc.extend_from_slice(&SPS);
    avcc.extend_from_slice(&[1, 0, PPS.len() as u8]);
    avcc.extend_from_slice(&PPS);
    let h264 = parse_avcc(Bytes::from(avcc)).unwrap();
    TrackConfig {
        id: VIDEO,
        timescale: Timescale::MILLIS,
        codec: CodecConfig::H264(h264),
    }
}

fn audio() -> TrackConfig {
    let asc = Bytes::from_static(&[0x11, 0x90]);
    let aac = AacConfig {
        asc,
        object_type: 2,
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
    };
    TrackConfig {
        id: AUDIO,
        timescale: Timescale::new(48_000).unwrap(),
        codec: CodecConfig::Aac(aac),
    }
}

/// A recording whose clock the test moves.
struct Bench {
    recording: Recording,
    inlet: Arc<Inlet>,
    reports: Arc<Reports>,
    now: Duration,
    folder: Arc<tempfile::TempDir>,
    over: bool,
}

#[derive(Default)]
struct Reports {
    files: Mutex<Vec<FinishedFile>>,
    others: Mutex<Vec<String>>,
    key_frames_wanted: Mutex<u32>,
}

impl Reporter for Reports {
    fn report(&self, report: Report) {
        match report {
            Report::FileFinished { file, receipt } => {
                receipt.unwrap().done().unwrap();
                self.files.lock().push(file);
            }
            other => self.others.lock().push(format!("{other:?}")),
        }
    }

    fn want_key_frame(&self) {
        *self.key_frames_wanted.lock() += 1;
    }
}

/// What a test asks of a recording.
struct Asked {
    rotation: RotationLimit,
    may_rotate: bool,
    numbered: bool,
    template: &'static str,
    container: Container,
    fresh: bool,
    /// Sample rate in Hz and channels of sound that is transcoded.
    sound: (u32, u8),
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            rotation: RotationLimit::Disabled,
            may_rotate: true,
            numbered: true,
            template: "{streamName}-{startTimeMillis}",
            container: Container::Mp4,
            fresh: true,
            sound: (44_100, 2),
        }
    }
}

impl Bench {
    fn new(asked: &Asked) -> Self {
        // Memory: a thousand files with all their syncs are a matter of a second there.
        Self::new_in(asked, Arc::new(tempfile::tempdir_in("/dev/shm").unwrap()))
    }

    fn new_in(asked: &Asked, folder: Arc<tempfile::TempDir>) -> Self {
        let folders = Folders::open(&OsFileSystem, folder.path(), folder.path()).unwrap();
        let identity = SessionIdentity {
            media_session_id: "6c1d1ae0-9c3e-4f3e-8a55-0123456789ab".to_owned(),
            session_id: "session".to_owned(),
            stream_name: "cam".to_owned(),
            login: String::new(),
        };
        let plan = Plan {
            recording_id: uuid::Uuid::new_v4().to_string(),
            identity: Arc::new(identity),
            naming: Naming {
                template: Template::parse(asked.template).unwrap(),
                options: NameOptions::default(),
                numbered: asked.numbered,
            },
            rotation: if asked.may_rotate {
                asked.rotation
            } else {
                RotationLimit::Disabled
            },
            may_rotate: asked.may_rotate,
            containers: Containers {
                h264: asked.container,
                ..Containers::default()
            },
            sound: Sound {
                sample_rate: asked.sound.0,
                channels: asked.sound.1,
                aac_mode: 5,
                webm_vorbis: false,
                mp4_copy: false,
            },
            index_first: true,
            index_reserve_bytes: 0,
            new_part_on_change: false,
            cluster_max_ms: 5000,
            cluster_max_bytes: 5_242_880,
            max_audio: 100,
            sync_interval: Duration::from_secs(1),
            fresh: asked.fresh,
            min_free_bytes: 0,
        };
        let inlet = Arc::new(Inlet::new(Waker::default()));
        let reports = Arc::new(Reports::default());
        let reporter: Arc<dyn Reporter> = Arc::clone(&reports) as _;
        let status = Arc::new(Status::default());
        let recording = Recording::new(Arc::new(plan), folders, Arc::clone(&inlet), status, reporter);
        Self {
            recording,
            inlet,
            reports,
            now: Duration::ZERO,
            folder,
            over: false,
        }
    }

    fn unit(&self, unit: Unit) {
        self.inlet.unit(unit, self.now);
    }

    fn tell(&self, told: Told) {
        assert!(self.inlet.command(told, self.now));
    }

    /// Moves the clock to `ms` and lets the recording work, as its writer thread would.
    fn work_until(&mut self, ms: i64) {
        self.now = Duration::from_millis(ms.unsigned_abs());
        let unix = UnixMs(1_700_000_000_000 + ms);
        self.over = self.over || !self.recording.run(Now { mono: self.now, unix });
    }

    fn stop(&mut self) -> Vec<FinishedFile> {
        self.tell(Told::Stop(PartEnd::SessionEnded));
        let now = i64::try_from(self.now.as_millis()).unwrap();
        self.work_until(now);
        assert!(self.over);
        self.files()
    }

    fn files(&self) -> Vec<FinishedFile> {
        self.reports.files.lock().clone()
    }

    fn others(&self) -> Vec<String> {
        self.reports.others.lock().clone()
    }
}

/// A sample that was sent, or read back: its track, and a number that its payload carries.
type Sent = (TrackId, u32);

/// 25 pictures a second with two B-frames between the others, a key frame every `gop`, and 48 kHz AAC.
struct Stream {
    gop: u32,
    picture: u32,
    frame: u32,
    sent: Vec<Sent>,
    has_video: bool,
    has_audio: bool,
}

impl Stream {
    fn new(gop: u32) -> Self {
        Self {
            gop,
            picture: 0,
            frame: 0,
            sent: Vec::new(),
            has_video: true,
            has_audio: true,
        }
    }

    fn announce(&self, bench: &Bench) {
        if self.has_video {
            bench.unit(Unit::Track(Arc::new(video())));
        }
        if self.has_audio {
            bench.unit(Unit::Track(Arc::new(audio())));
        }
    }

    /// Sends all that is due up to `ms`, in decode order, as an encoder interleaves it.
    fn send_until(&mut self, bench: &Bench, ms: i64) {
        while self.has_video && i64::from(self.picture) * 40 < ms {
            self.send_audio_until(bench, i64::from(self.picture) * 40);
            let number = self.picture;
            let in_gop = number % self.gop;
            // Decode order I P B B P B B: two frames of delay, and the P frames two ahead.
            let composition = match in_gop % 3 {
                _ if in_gop == 0 => 80,
                1 => 160,
                _ => 40,
            };
            let dts = i64::from(number) * 40;
            bench.unit(Unit::Sample(sample(
                VIDEO,
                dts,
                dts + composition,
                in_gop == 0,
                &nal(number, in_gop == 0),
            )));
            self.sent.push((VIDEO, number));
            self.picture += 1;
        }
        self.send_audio_until(bench, ms);
    }

    fn send_audio_until(&mut self, bench: &Bench, ms: i64) {
        let due = |frame: u32| i64::from(frame) * 1024 / 48;
        while self.has_audio && due(self.frame) < ms {
            let payload = [&self.frame.to_be_bytes()[..], &[0; 20]].concat();
            bench.unit(Unit::Sample(sample(
                AUDIO,
                due(self.frame),
                due(self.frame),
                true,
                &payload,
            )));
            self.sent.push((AUDIO, self.frame));
            self.frame += 1;
        }
    }

    fn sent_of(&self, track: TrackId) -> Vec<u32> {
        self.sent
            .iter()
            .filter(|(id, _)| *id == track)
            .map(|(_, number)| *number)
            .collect()
    }
}

fn sample(track: TrackId, dts_ms: i64, pts_ms: i64, key: bool, payload: &[u8]) -> Sample {
    Sample {
        track,
        pts: Timestamp::from_ms(pts_ms),
        dts: Timestamp::from_ms(dts_ms),
        key,
        data: Bytes::copy_from_slice(payload),
    }
}

/// A length-prefixed slice that carries a number.
fn nal(number: u32, key: bool) -> Vec<u8> {
    let size = if key { 400 } else { 60 };
    let mut unit = vec![if key { 0x65 } else { 0x41 }];
    unit.extend_from_slice(&number.to_be_bytes());
    unit.resize(size, 0xaa);
    [&u32::try_from(size).unwrap().to_be_bytes()[..], &unit].concat()
}

/// The numbers of a file's samples by track, as the crate `mp4` reads them.
fn read(path: &Path) -> Vec<(TrackKind, Vec<u32>)> {
    let file = File::open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let mut reader = mp4::Mp4Reader::read_header(BufReader::new(file), length).unwrap();
    let ids: Vec<u32> = reader.tracks().keys().copied().collect();
    let mut tracks = Vec::new();
    for id in ids {
        let video = reader.tracks()[&id].track_type().unwrap() == mp4::TrackType::Video;
        let (kind, at) = if video {
            (TrackKind::Video, 5)
        } else {
            (TrackKind::Audio, 0)
        };
        let count = reader.sample_count(id).unwrap();
        let numbers = (1..=count).map(|index| {
            let bytes = reader.read_sample(id, index).unwrap().unwrap().bytes;
            u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
        });
        tracks.push((kind, numbers.collect()));
    }
    tracks
}

fn read_all(files: &[FinishedFile], kind: TrackKind) -> Vec<u32> {
    let tracks = files.iter().flat_map(|file| read(&file.path));
    tracks
        .filter(|(found, _)| *found == kind)
        .flat_map(|(_, numbers)| numbers)
        .collect()
}
