//! Gets a growing transport stream that a crash or a power cut left.
//! Gives it back cut behind its last whole unit, and says what is in it.
//!
//! A transport stream needs no index, so recovery reads it once and cuts. Only what [`super::TsMuxer`]
//! writes is taken: packets on a grid of 188 bytes, continuity counters without a gap, each PES packet
//! in one piece. Anything else is damage, and the unit it falls into is not whole. After a power cut
//! blocks of zeros or old data can stand in what was written last, so a packet right before damage is
//! not trusted either: its end may lie in the damaged sector.

use super::packet::{PACKET_BYTES, PAYLOAD_BYTES, SYNC_BYTE};
use super::pes::{self, PesStart};
use super::psi::{self, Listed, PMT_PID, stream_type};
use crate::media::{Error, ErrorKind, Result, TrackKind};
use crate::mux::{Finished, Recovered, RecoveredTrack, Repair};

/// How much is read at once: 1,024 packets, 188 KiB.
const READ_BYTES: usize = 1024 * PACKET_BYTES;

/// Sound bytes behind damage from which on the damage counts as inside the file, not at its end: it
/// stays then, as readers step over it, and nothing behind it is lost. 16 MiB are more than six seconds
/// of 20 Mb/s, while a power cut harms what the last sync interval wrote.
const SOUND_BYTES: u64 = 16 * 1024 * 1024;

/// Finishes a growing transport stream: cuts it behind the last whole unit. The file is not touched
/// where nothing is to be cut, so a second run changes nothing.
///
/// Reads the file once from the front; memory does not grow with its length.
///
/// # Errors
/// See [`crate::mux::recover`].
pub fn recover(file: &mut dyn Repair) -> Result<(Recovered, Finished)> {
    let len = crate::mux::Input::len(file);
    let mut scan = Scan::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut offset = 0;
    while offset < len {
        let left = usize::try_from(len - offset).unwrap_or(usize::MAX);
        let Some(chunk) = buffer.get_mut(..left.min(READ_BYTES)) else {
            break;
        };
        file.read_at(offset, chunk)?;
        for packet in chunk.chunks(PACKET_BYTES) {
            scan.packet(packet, offset);
            offset += packet.len() as u64;
        }
    }
    scan.end(len);
    let Kept { end, tracks } = scan.kept;
    if end == 0 {
        return Err(Error::new(
            ErrorKind::Malformed,
            "recover a transport stream",
            "there is no whole unit in it",
        )
        .with("length_bytes", len));
    }
    if end < len {
        file.truncate(end)?;
    }
    let recovered = Recovered {
        duration_ms: duration_ms(&tracks),
        tracks: tracks.iter().filter_map(Track::described).collect(),
        cut_bytes: len - end,
    };
    Ok((recovered, Finished::InPlace))
}

/// What is in the file up to `end`.
#[derive(Clone, Debug, Default)]
struct Kept {
    end: u64,
    tracks: Vec<Track>,
}

#[derive(Clone, Debug)]
struct Track {
    listed: Listed,
    samples: u64,
    /// Earliest and latest presentation time, and how long the last sample before took, 90 kHz.
    first_pts: i64,
    last_pts: i64,
    last_dts: i64,
    last_duration: i64,
}

impl Track {
    fn new(listed: Listed) -> Self {
        Self {
            listed,
            samples: 0,
            first_pts: i64::MAX,
            last_pts: i64::MIN,
            last_dts: 0,
            last_duration: 0,
        }
    }

    fn add(&mut self, pts: i64, dts: i64) {
        if self.samples > 0 {
            self.last_duration = dts - self.last_dts;
        }
        self.samples += 1;
        self.first_pts = self.first_pts.min(pts);
        self.last_pts = self.last_pts.max(pts);
        self.last_dts = dts;
    }

    fn described(&self) -> Option<RecoveredTrack> {
        let (kind, codec) = match self.listed.stream_type {
            stream_type::H264 => (TrackKind::Video, "h264"),
            stream_type::H265 => (TrackKind::Video, "h265"),
            stream_type::AAC_ADTS => (TrackKind::Audio, "aac"),
            stream_type::MPEG1_AUDIO | stream_type::MPEG2_AUDIO => (TrackKind::Audio, "mp3"),
            _ => return None,
        };
        Some(RecoveredTrack {
            kind,
            codec: codec.to_owned(),
            samples: self.samples,
        })
    }
}

/// From the first presentation to the last; each track's last sample lasts as long as the one before.
fn duration_ms(tracks: &[Track]) -> i64 {
    let used = || tracks.iter().filter(|track| track.samples > 0);
    let start = used().map(|track| track.first_pts).min().unwrap_or_default();
    let end = used()
        .map(|track| track.last_pts + track.last_duration.max(0))
        .max()
        .unwrap_or_default();
    (end - start + 45) / 90
}

/// The unit that the packets are in.
#[derive(Clone, Copy, Debug)]
struct OpenUnit {
    pid: u16,
    start: PesStart,
    /// Bytes of the PES packet that were met.
    bytes: usize,
    /// The last packet had an adaptation field and was not the first.
    closed: bool,
}

impl OpenUnit {
    /// Whether it is all there: `None` where it is longer than it said.
    fn is_whole(&self) -> Option<bool> {
        match self.start.total_bytes {
            Some(total) if self.bytes > total => None,
            Some(total) => Some(self.bytes == total),
            None => Some(self.closed),
        }
    }
}

/// A unit that is whole unless the packet behind it shows damage.
#[derive(Clone, Copy, Debug)]
struct WholeUnit {
    pid: u16,
    pts: u64,
    dts: u64,
    end: u64,
}

/// The state of reading from the front.
#[derive(Debug, Default)]
struct Scan {
    /// What will stay.
    kept: Kept,
    /// What has been met up to now, damage stepped over.
    met: Kept,
    /// Where the sound bytes since the last damage begin; `None` within damage.
    sound_from: Option<u64>,
    open: Option<OpenUnit>,
    whole: Option<WholeUnit>,
    /// The next continuity counter of each PID, since the last damage.
    continuity: Vec<(u16, u8)>,
    /// The last time met, unwrapped, and as its 33 bits.
    clock: Option<i64>,
}

impl Scan {
    fn packet(&mut self, packet: &[u8], offset: u64) {
        let end = offset + packet.len() as u64;
        if packet.len() < PACKET_BYTES && packet.first() == Some(&SYNC_BYTE) {
            // A write that stopped within a packet, not damage.
            return;
        }
        if self.take(packet, end).is_some() {
            self.sound_from.get_or_insert(offset);
        } else {
            self.whole = None;
            self.close_streak();
            self.open = None;
            self.continuity.clear();
        }
    }

    /// The end of the file.
    fn end(&mut self, len: u64) {
        self.commit();
        self.close_streak();
        debug_assert!(self.kept.end <= len);
    }

    /// Takes a sound packet that ends at `end`; `None` is damage.
    fn take(&mut self, packet: &[u8], end: u64) -> Option<()> {
        let [SYNC_BYTE, start_pid, pid_low, control, body @ ..] = packet else {
            return None;
        };
        if body.len() != PAYLOAD_BYTES || start_pid & 0x80 != 0 {
            return None;
        }
        let pid = u16::from_be_bytes([start_pid & 0x1f, *pid_low]);
        let starts = start_pid & 0x40 != 0;
        let (adaptation, payload) = match control & 0x30 {
            0x10 => (false, body),
            0x30 => (true, body.get(1 + usize::from(*body.first()?)..)?),
            0x20 => (true, &[][..]),
            _ => return None,
        };
        if !self.is_next(pid, control & 0x0f, control & 0x10 != 0) {
            return None;
        }
        if pid == 0 || pid == PMT_PID {
            if pid == PMT_PID {
                self.list(psi::read_pmt(packet)?);
            }
            if self.open.is_some() {
                return None;
            }
        } else {
            if !self.met.tracks.iter().any(|track| track.listed.pid == pid) {
                return None;
            }
            if control & 0x10 != 0 {
                self.unit_packet(pid, starts, adaptation, payload, end)?;
                return Some(());
            }
            if self.open.is_some() {
                return None;
            }
        }
        self.commit();
        Some(())
    }

    /// Takes a packet with a piece of a unit.
    fn unit_packet(&mut self, pid: u16, starts: bool, adaptation: bool, payload: &[u8], end: u64) -> Option<()> {
        let unit = match self.open.take() {
            None if starts => {
                self.commit();
                OpenUnit {
                    pid,
                    start: pes::read(payload)?,
                    bytes: payload.len(),
                    closed: false,
                }
            }
            Some(unit) if !starts && unit.pid == pid => OpenUnit {
                bytes: unit.bytes + payload.len(),
                closed: adaptation,
                ..unit
            },
            _ => return None,
        };
        if unit.is_whole()? {
            self.whole = Some(WholeUnit {
                pid,
                pts: unit.start.pts,
                dts: unit.start.dts,
                end,
            });
        } else {
            self.open = Some(unit);
        }
        Some(())
    }

    /// Whether the continuity counter is the expected one, and expects the next.
    fn is_next(&mut self, pid: u16, counter: u8, payload: bool) -> bool {
        let next = (counter + 1) & 0x0f;
        // A packet without a payload repeats the counter of the one before it.
        let shown = if payload { counter } else { next };
        match self.continuity.iter_mut().find(|(known, _)| *known == pid) {
            Some((_, expected)) => {
                let fits = *expected == shown;
                *expected = next;
                fits
            }
            None => {
                // Unknown PIDs are refused right after, so this holds the tracks and the tables.
                self.continuity.push((pid, next));
                true
            }
        }
    }

    fn list(&mut self, streams: Vec<Listed>) {
        for listed in streams {
            match self.met.tracks.iter_mut().find(|track| track.listed.pid == listed.pid) {
                Some(track) => track.listed = listed,
                None => self.met.tracks.push(Track::new(listed)),
            }
        }
    }

    /// Counts the last whole unit: what stands behind it is sound.
    fn commit(&mut self) {
        let Some(unit) = self.whole.take() else { return };
        let dts = unwrapped(unit.dts, self.clock.unwrap_or(unit.dts.cast_signed()));
        let pts = unwrapped(unit.pts, dts);
        self.clock = Some(dts);
        self.met.end = unit.end;
        if let Some(track) = self.met.tracks.iter_mut().find(|track| track.listed.pid == unit.pid) {
            track.add(pts, dts);
        }
    }

    /// The sound bytes end here. They stay, with all before them, if they are the first or many.
    fn close_streak(&mut self) {
        let Some(from) = self.sound_from.take() else { return };
        let long = self.met.end.saturating_sub(from) >= SOUND_BYTES;
        if self.met.end > 0 && (self.kept.end == 0 || long) {
            self.kept = self.met.clone();
        }
    }
}

/// The time of 33 bits `time` that is nearest to `near`.
fn unwrapped(time: u64, near: i64) -> i64 {
    const PERIOD: i64 = 1 << 33;
    let ahead = (time.cast_signed() - near).rem_euclid(PERIOD);
    near + if ahead < PERIOD / 2 { ahead } else { ahead - PERIOD }
}
