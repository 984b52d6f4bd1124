//! Gets samples on a file's own timeline, from a recording.
//! Gives bytes, deterministically: no clock, no randomness, no file names; same samples, same bytes.

use bytes::Bytes;

use crate::media::{Container, Result, Sample, TrackConfig, TrackKind, UnixMs};

pub mod mp4;
mod state;
pub mod ts;
pub mod webm;

/// Where a muxer's bytes go: a growing file. Implemented over `storage/` by `recording/`.
///
/// After an error nothing more may be written but by a recovery.
pub trait Output {
    /// The length in bytes: where the next append lands.
    fn len(&self) -> u64;

    /// Whether nothing was written yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends all of `buffers` in order, in one gathered write where the system allows, and leaves
    /// `buffers` empty with its capacity kept.
    ///
    /// # Errors
    /// `DiskFull`, `Io`; then an unknown part of the bytes was written.
    fn append(&mut self, buffers: &mut Vec<Bytes>) -> Result<()>;

    /// Overwrites bytes that are there already. Takes no new block of the disk.
    ///
    /// # Errors
    /// As `append`.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()>;

    /// Returns when all that was written before is on stable storage (fdatasync).
    ///
    /// # Errors
    /// `Io`; the bytes are lost then, a retry would lie.
    fn barrier(&mut self) -> Result<()>;

    /// Opens a gap of zeros of `len` bytes at `offset`, moving what follows without copying it
    /// (`fallocate` insert range). Both are multiples of [`Output::block_size`]. `false` where the
    /// file system cannot.
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    fn insert_range(&mut self, offset: u64, len: u64) -> Result<bool>;

    /// What `insert_range` works in, in bytes.
    fn block_size(&self) -> u64;
}

/// A growing file that is read back: by recovery, and by tests.
pub trait Input {
    /// The length in bytes.
    fn len(&self) -> u64;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `Io`; `Malformed` past the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
}

/// A growing file under repair: read, cut and finished.
pub trait Repair: Input + Output {
    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// `Io`.
    fn truncate(&mut self, len: u64) -> Result<()>;
}

/// What a muxer is made with.
#[derive(Clone, Debug)]
pub struct MuxOptions {
    /// When the recording (or part) began by the server clock: MP4 and WebM keep it as creation time.
    pub created: UnixMs,
    /// MP4: the index goes before the media; WebM: the cues do, where they fit.
    pub index_first: bool,
    /// MP4: bytes set aside for the index when the file is made; 0 for none.
    pub index_reserve_bytes: u64,
    /// WebM: a cluster is closed when it is this long, in milliseconds,
    pub cluster_max_ms: u32,
    /// or before it would have more bytes than this, whichever comes first.
    pub cluster_max_bytes: u32,
}

/// How a finished file came to lie.
#[derive(Debug, PartialEq, Eq)]
pub enum Finished {
    /// It is whole as it lies.
    InPlace,
    /// It is whole once `front` stands in place of the first `replaces` bytes: the file system could
    /// not make room, so storage copies. Until then the growing file still plays as it lies.
    WithFront {
        /// The new beginning.
        front: Vec<u8>,
        /// How many bytes of the growing file it stands for.
        replaces: u64,
    },
}

/// Turns samples into one file.
///
/// A file's timeline starts at 0: the recording hands over samples whose earliest `pts` is 0 or
/// later, `dts` may be below 0 by the reorder delay. Samples of one track come with strictly rising
/// `dts`; tracks are interleaved as they arrived. On any error the file is recoverable up to the
/// last good `flush`.
pub trait Muxer: Send {
    /// Announces a track before its first sample, or a new configuration of it from its next sample
    /// on. May come at any time: a late track joins the file.
    ///
    /// # Errors
    /// `Unsupported` where the container cannot carry the codec.
    fn track(&mut self, config: &TrackConfig) -> Result<()>;

    /// Takes a sample into the pending fragment. Nothing is written before `flush`.
    ///
    /// # Errors
    /// `Malformed` where the payload breaks its codec's framing; the sample is left out then and the
    /// file is as before.
    fn sample(&mut self, sample: &Sample) -> Result<()>;

    /// Bytes that wait for a `flush`.
    fn pending_bytes(&self) -> usize;

    /// The size which the file would have if it were finished now, index included.
    fn projected_size(&self) -> u64;

    /// Whether an index that was reserved room for is about to outgrow it (within a fragment or two).
    fn index_nearly_full(&self) -> bool;

    /// Writes what is pending so that a reader of the growing file sees it.
    ///
    /// # Errors
    /// Those of [`Output`].
    fn flush(&mut self, out: &mut dyn Output) -> Result<()>;

    /// Writes what is pending and the index. `end` is the moment at which the file's timeline ends
    /// (the last sample of each track lasts until then where that is plausible, see the container).
    ///
    /// # Errors
    /// Those of [`Output`].
    fn finish(&mut self, end: Option<crate::media::Timestamp>, out: &mut dyn Output) -> Result<Finished>;
}

/// What recovery found in a growing file.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// How the repaired file lies.
    pub duration_ms: i64,
    /// A line for each track.
    pub tracks: Vec<RecoveredTrack>,
    /// Bytes at the end that were no whole sample and are cut off.
    pub cut_bytes: u64,
}

/// A track of a recovered file.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredTrack {
    /// Pictures or sound.
    pub kind: TrackKind,
    /// The codec's name as in events.
    pub codec: String,
    /// Samples that are in the file.
    pub samples: u64,
}

/// A muxer for `container`.
///
/// # Errors
/// None by now: every container has a writer.
pub fn create(container: Container, options: MuxOptions) -> Result<Box<dyn Muxer>> {
    match container {
        Container::Mp4 => Ok(Box::new(mp4::Mp4Muxer::new(options))),
        Container::Ts => Ok(Box::new(ts::TsMuxer::new(options))),
        Container::Webm => Ok(Box::new(webm::WebmMuxer::new(options))),
    }
}

/// Finishes a growing file that a crash or a power cut left. Idempotent: it may itself be cut off
/// at any point and be run again; a file that was finished already stays as it is.
///
/// # Errors
/// `Malformed` where nothing in it can be played (the file is untouched then), and those of [`Output`].
pub fn recover(container: Container, options: MuxOptions, file: &mut dyn Repair) -> Result<(Recovered, Finished)> {
    match container {
        Container::Mp4 => mp4::recover(options, file),
        Container::Ts => ts::recover(file),
        Container::Webm => webm::recover(options, file),
    }
}
