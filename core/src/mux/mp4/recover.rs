//! Gets a growing MP4 as a crash or a power cut left it.
//! Gives the finished file with every whole sample that is in it, by the same finish as any other.
//!
//! First all is read and nothing written: the live `moov`, the fragments behind it and their checksums.
//! Then the file is cut behind the last whole sample and finished. What an earlier finish, or an earlier
//! recovery, left undone is among the states that reading knows:
//!
//! | left by | what is there | what is done |
//! | --- | --- | --- |
//! | growing | perhaps half a fragment at the end | its whole samples are kept, the rest is cut off |
//! | a recovery | a last fragment whose `mdat` is shorter than its samples | as above |
//! | an index laid out in the free room | a growing file: no reader looks there | as above |
//! | an index appended | a `moov` behind the fragments | it is cut off and made again |
//! | a front being made longer | zeros where a fragment should begin | the free box is made to cover them |
//! | a flip | a finished file | nothing |

use super::finish::finish;
use super::front::Front;
use super::index::IndexedSample;
use super::moov;
use super::read::{self, ReadFragment, ReadRun, ReadTrack, TopBox, read_range, top_box};
use super::track::MAX_TICKS;
use crate::isobmff::{HEADER_LEN, malformed};
use crate::media::limits::MAX_TRACKS;
use crate::media::{ErrorKind, Result};
use crate::mux::{Finished, Input, MuxOptions, Recovered, RecoveredTrack, Repair};

/// Fragments that begin so close to the end of the file have their checksums verified. Only what was
/// not synced can be torn: one second at 512 Mb/s. Reading more than that back would make recovery as
/// slow as a copy.
const VERIFIED_BYTES: u64 = 64 * 1024 * 1024;

/// Longest `moof` taken: two million samples, far above what one flush holds.
const MAX_MOOF_BYTES: u64 = 32 * 1024 * 1024;

/// Unit in which the file is read back.
const CHUNK_BYTES: u64 = 1024 * 1024;

/// What file systems write at once: payload of compressed media has no such page of zeros, a page that
/// a power cut lost has nothing else.
const PAGE_BYTES: u64 = 4096;

/// What reading a file found.
enum Found {
    Finished(Recovered),
    Growing(Growing),
}

/// A file to be finished.
struct Growing {
    front: Front,
    /// Whether the front was made longer and its `free` box does not say so yet.
    has_gap: bool,
    created: u64,
    tracks: Vec<ReadTrack>,
    /// Where the last whole sample ends.
    end: u64,
    /// The `mdat` it is in, where that goes on beyond it.
    torn_mdat: Option<u64>,
}

/// Finishes a growing MP4.
///
/// Creation time and tracks are those which the file tells; of `options` counts where the index goes.
///
/// # Errors
/// See [`crate::mux::recover`].
pub fn recover(options: MuxOptions, file: &mut dyn Repair) -> Result<(Recovered, Finished)> {
    let mut growing = match survey(file)? {
        Found::Finished(recovered) => return Ok((recovered, Finished::InPlace)),
        Found::Growing(growing) => growing,
    };
    let cut_bytes = Input::len(file).saturating_sub(growing.end);
    if cut_bytes > 0 {
        file.truncate(growing.end)?;
    }
    if let Some(mdat_at) = growing.torn_mdat {
        // What is appended from here on must not be taken for the rest of the payload.
        file.write_at(mdat_at, &((growing.end - mdat_at) as u32).to_be_bytes())?;
    }
    if cut_bytes > 0 || growing.torn_mdat.is_some() {
        file.barrier()?;
    }
    if growing.has_gap {
        growing.front.close_gap(file)?;
    }
    let tracks: Vec<_> = growing.tracks.into_iter().map(|read| read.track).collect();
    let finished = finish(&tracks, growing.created, options.index_first, &mut growing.front, file)?;
    let recovered = Recovered {
        duration_ms: moov::duration(&tracks).1,
        tracks: moov::in_file(&tracks)
            .map(|track| RecoveredTrack {
                kind: track.kind,
                codec: track.codec.to_owned(),
                samples: u64::from(track.index.samples()),
            })
            .collect(),
        cut_bytes,
    };
    Ok((recovered, finished))
}

/// Reads the file without changing it.
///
/// # Errors
/// `Malformed` where nothing plays, `Io`.
fn survey(file: &dyn Input) -> Result<Found> {
    let live = live_moov(file)?;
    let movie = read::movie(&read_range(file, live.at, live.len())?)?;
    if !movie.is_fragmented {
        return Ok(Found::Finished(Recovered {
            duration_ms: movie.duration_ms,
            tracks: movie.tracks.iter().map(recovered_track).collect(),
            cut_bytes: 0,
        }));
    }
    let free = top_box(file, live.end)?.filter(|free| free.kind == *b"free" && free.end <= file.len());
    let free = free.ok_or_else(|| malformed("the front has no free room, so it is another writer's"))?;
    let aligned = [live.at, live.len()].iter().all(|value| value % 8 == 0) && live.header_len == HEADER_LEN;
    if !aligned || live.len() > u64::from(u32::MAX) - HEADER_LEN || free.header_len != HEADER_LEN {
        return Err(malformed(
            "the front is not laid out for a flip, so it is another writer's",
        ));
    }
    if movie.tracks.len() > MAX_TRACKS {
        return Err(malformed("there are more tracks than one file is given").with("tracks", movie.tracks.len()));
    }
    let first = first_fragment(file, free.end)?;
    let mut growing = Growing {
        front: Front {
            moov_at: live.at,
            moov_len: live.len(),
            end: first,
        },
        has_gap: first > free.end,
        created: movie.created,
        tracks: movie.tracks,
        end: first,
        torn_mdat: None,
    };
    while growing.take_fragment(file)? {}
    if growing.tracks.iter().all(|read| read.track.index.samples() == 0) {
        return Err(malformed("there is no whole sample in it"));
    }
    Ok(Found::Growing(growing))
}

fn recovered_track(read: &ReadTrack) -> RecoveredTrack {
    RecoveredTrack {
        kind: read.track.kind,
        codec: read.track.codec.to_owned(),
        samples: u64::from(read.samples),
    }
}

/// The first `moov`, which is the one that readers take.
fn live_moov(file: &dyn Input) -> Result<TopBox> {
    let mut at = 0;
    while let Some(found) = top_box(file, at)?.filter(|found| found.end <= file.len()) {
        match &found.kind {
            b"ftyp" if at == 0 => {}
            _ if at == 0 => break,
            b"moov" => return Ok(found),
            b"free" | b"mdat" => {}
            _ => break,
        }
        at = found.end;
    }
    Err(malformed("there is no moov where one should be").with("at", at))
}

/// Where the fragments begin: at `at`, or behind the zeros which making the front longer put there.
fn first_fragment(file: &dyn Input, at: u64) -> Result<u64> {
    let Some(past) = first_nonzero(file, at)? else {
        return Ok(at);
    };
    // The size of a moof begins with a byte of zeros, or two.
    let start = past / PAGE_BYTES * PAGE_BYTES;
    let is_moof = start > at && top_box(file, start)?.is_some_and(|found| found.kind == *b"moof");
    Ok(if is_moof { start } else { at })
}

/// The first byte from `at` that is not 0.
fn first_nonzero(file: &dyn Input, mut at: u64) -> Result<Option<u64>> {
    while at < file.len() {
        let chunk = read_range(file, at, (file.len() - at).min(CHUNK_BYTES))?;
        if let Some(position) = chunk.iter().position(|&byte| byte != 0) {
            return Ok(Some(at + position as u64));
        }
        at += chunk.len() as u64;
    }
    Ok(None)
}

impl Growing {
    /// Adds the fragment at the end of what is known to be whole; `false` where there is none, or only
    /// part of one, and nothing may follow.
    fn take_fragment(&mut self, file: &dyn Input) -> Result<bool> {
        let len = file.len();
        let Some(moof) = top_box(file, self.end)? else {
            return Ok(false);
        };
        if moof.kind != *b"moof" || moof.end > len || moof.len() > MAX_MOOF_BYTES {
            return Ok(false);
        }
        let bytes = read_range(file, moof.at, moof.len())?;
        let Some(mdat) = top_box(file, moof.end)? else {
            return Ok(false);
        };
        if mdat.kind != *b"mdat" || mdat.header_len != HEADER_LEN {
            return Ok(false);
        }
        let Some(fragment) = or_malformed(read::fragment(&bytes))? else {
            return Ok(false);
        };
        let payload = mdat.at + HEADER_LEN;
        let declared_end = payload.max(fragment.runs.iter().map(|run| run.end(moof.at)).max().unwrap_or(0));
        if mdat.end.min(len) < declared_end {
            // Torn, perhaps cut by an earlier recovery: no checksum can tell, so what is there counts.
            let there = mdat.end.min(first_lost_page(file, payload)?.unwrap_or(len));
            let taken = self.index(&fragment, &moof, payload..declared_end, there)?;
            if let Some(end) = taken.filter(|&end| end > payload) {
                self.end = end;
                self.torn_mdat = Some(mdat.at).filter(|_| mdat.end != end);
            }
            return Ok(false);
        }
        let verified = moof.at + VERIFIED_BYTES >= len;
        if mdat.end != declared_end || verified && checksum(file, &bytes, payload, mdat.end)? != fragment.crc {
            return Ok(false);
        }
        let taken = self.index(&fragment, &moof, payload..mdat.end, mdat.end)?;
        self.end = taken.unwrap_or(self.end);
        Ok(taken.is_some())
    }

    /// Adds the samples of a fragment which end at or before `whole_to` to the tables; gives the end of
    /// the last of them. `None`, and nothing added, where the fragment contradicts itself or the tracks.
    fn index(
        &mut self,
        fragment: &ReadFragment,
        moof: &TopBox,
        payload: std::ops::Range<u64>,
        whole_to: u64,
    ) -> Result<Option<u64>> {
        for (at, run) in fragment.runs.iter().enumerate() {
            let twice = fragment.runs.iter().take(at).any(|other| other.number == run.number);
            let track = self.tracks.iter().find(|read| read.track.number == run.number);
            let fits = track.is_some_and(|read| fits(read, run, moof.at, &payload));
            if twice || !fits {
                return Ok(None);
            }
        }
        let mut last_end = payload.start;
        for run in &fragment.runs {
            let Some(read) = self.tracks.iter_mut().find(|read| read.track.number == run.number) else {
                continue;
            };
            let start = run.start(moof.at);
            let mut end = start;
            let whole = run.samples.iter().take_while(|sample| {
                end += u64::from(sample.size);
                end <= whole_to
            });
            let whole = whole.count();
            if whole == 0 {
                continue;
            }
            let mut dts = run.first_dts as i64 - read.shift;
            let track = &mut read.track;
            track.first_dts.get_or_insert(dts);
            track.index.begin_chunk(start - self.front.end, whole as u32, run.entry);
            let mut position = start;
            for sample in run.samples.iter().take(whole) {
                track.index.push(IndexedSample {
                    dts,
                    offset: sample.offset,
                    size: sample.size,
                    key: sample.key,
                });
                dts += i64::from(sample.duration);
                position += u64::from(sample.size);
                track.tail = sample.duration;
            }
            last_end = last_end.max(position);
        }
        Ok(Some(last_end))
    }
}

/// Whether the samples of `run` lie in the payload, use a sample entry there is, and go on in time from
/// those of the track.
fn fits(read: &ReadTrack, run: &ReadRun, moof_at: u64, payload: &std::ops::Range<u64>) -> bool {
    let inside = run.start(moof_at) >= payload.start && run.end(moof_at) <= payload.end;
    let has_entry = run.entry >= 1 && run.entry as usize <= read.track.entries.len();
    let known = run.first_dts <= MAX_TICKS * 2 && read.shift.unsigned_abs() <= MAX_TICKS;
    let dts = i64::try_from(run.first_dts)
        .unwrap_or(i64::MAX)
        .saturating_sub(read.shift);
    let goes_on = read.track.index.dts_range().is_none_or(|(_, last)| {
        let step = dts.saturating_sub(last);
        step > 0 && u32::try_from(step).is_ok()
    });
    let rises = run.samples.iter().all(|sample| sample.duration > 0);
    inside && has_entry && known && goes_on && rises
}

/// `None` for what is malformed; other errors stay errors.
fn or_malformed<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::Malformed => Ok(None),
        Err(error) => Err(error),
    }
}

/// The CRC-32 of a fragment as its writer made it.
fn checksum(file: &dyn Input, moof: &[u8], payload: u64, end: u64) -> Result<u32> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(moof.get(..moof.len().saturating_sub(4)).unwrap_or_default());
    let mut at = payload;
    while at < end {
        let chunk = read_range(file, at, (end - at).min(CHUNK_BYTES))?;
        crc.update(&chunk);
        at += chunk.len() as u64;
    }
    Ok(crc.finalize())
}

/// The start of the first page behind `at` which is all zeros up to its end or that of the file.
///
/// The page that `at` lies in holds the end of a fragment's headers, which are there.
fn first_lost_page(file: &dyn Input, at: u64) -> Result<Option<u64>> {
    let mut at = at.next_multiple_of(PAGE_BYTES);
    while at < file.len() {
        let chunk = read_range(file, at, (file.len() - at).min(CHUNK_BYTES))?;
        let mut pages = chunk.chunks(PAGE_BYTES as usize);
        if let Some(lost) = pages.position(|page| page.iter().all(|&byte| byte == 0)) {
            return Ok(Some(at + lost as u64 * PAGE_BYTES));
        }
        at += chunk.len() as u64;
    }
    Ok(None)
}
