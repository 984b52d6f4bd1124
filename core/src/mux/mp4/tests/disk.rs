//! Gets the calls of a muxer, and how many of them may succeed.
//! Gives the file as a SIGKILL or a power cut after the last one would leave it.

use bytes::Bytes;

use crate::media::{Error, ErrorKind, Result};
use crate::mux::{Input, Output, Repair};

/// Numbers that look random and are the same in each run (SplitMix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

#[derive(Clone)]
enum Change {
    Append(usize, Vec<u8>),
    Write(u64, Vec<u8>),
    Insert(u64, u64),
    Truncate(u64),
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Append(at, data) => {
            bytes.resize(*at, 0);
            bytes.extend(data);
        }
        Change::Write(at, data) => {
            let at = *at as usize;
            bytes.resize(bytes.len().max(at + data.len()), 0);
            bytes[at..at + data.len()].copy_from_slice(data);
        }
        Change::Insert(at, len) => {
            let at = *at as usize;
            bytes.splice(at..at, vec![0; *len as usize]);
        }
        Change::Truncate(len) => bytes.truncate(*len as usize),
    }
}

/// A file in memory which knows what of it is on stable storage.
pub(super) struct Disk {
    pub(super) bytes: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// Calls that still succeed.
    pub(super) calls_left: u64,
    pub(super) calls: u64,
    pub(super) can_insert: bool,
    /// Bytes written but for appended ones.
    pub(super) overwritten: u64,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self::with(Vec::new())
    }

    pub(super) fn with(bytes: Vec<u8>) -> Self {
        Self {
            durable: bytes.clone(),
            bytes,
            unsynced: Vec::new(),
            calls_left: u64::MAX,
            calls: 0,
            can_insert: true,
            overwritten: 0,
        }
    }

    /// The file after a power cut: of what was not synced each page is there or not, each sector of what
    /// was overwritten too, and the length is any between.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut appended = None;
        for change in &self.unsynced {
            if let Change::Append(at, _) = change {
                appended.get_or_insert(*at.min(&bytes.len()));
                apply(&mut bytes, change);
                continue;
            }
            if let Some(start) = appended.take() {
                lose_appended(&mut bytes, start, random);
            }
            match change {
                Change::Write(at, data) => {
                    let old = bytes.clone();
                    apply(&mut bytes, change);
                    let at = *at as usize;
                    lose(&mut bytes[..at + data.len()], at, 512, random, &old);
                }
                _ if random.below(2) == 0 => {}
                _ => apply(&mut bytes, change),
            }
        }
        if let Some(start) = appended {
            lose_appended(&mut bytes, start, random);
        }
        bytes
    }

    fn call(&mut self, change: Option<Change>) -> Result<()> {
        let failed = Error::new(ErrorKind::Io, "write", "the power is cut");
        if self.calls_left == 0 {
            return Err(failed);
        }
        self.calls_left -= 1;
        self.calls += 1;
        let Some(change) = change else {
            self.durable = self.bytes.clone();
            self.unsynced.clear();
            return Ok(());
        };
        apply(&mut self.bytes, &change);
        self.unsynced.push(change);
        Ok(())
    }

    /// A kill within the next append leaves its beginning.
    pub(super) fn tear_append(&mut self, data: &[u8], random: &mut Random) {
        let kept = random.below(data.len() as u64 + 1) as usize;
        self.bytes.extend(&data[..kept]);
    }
}

/// Each aligned piece of `bytes` from `start` is lost at a chance of one in four, or none is: what `old`
/// has there, or zeros, is there then.
fn lose(bytes: &mut [u8], start: usize, piece: usize, random: &mut Random, old: &[u8]) {
    let spared = random.below(2) == 0;
    let mut at = start;
    while at < bytes.len() && !spared {
        let end = ((at / piece + 1) * piece).min(bytes.len());
        if random.below(4) == 0 {
            for (index, byte) in bytes.iter_mut().enumerate().take(end).skip(at) {
                *byte = old.get(index).copied().unwrap_or(0);
            }
        }
        at = end;
    }
}

fn lose_appended(bytes: &mut Vec<u8>, start: usize, random: &mut Random) {
    lose(bytes, start, 4096, random, &[]);
    if random.below(2) == 0 {
        let kept = random.below((bytes.len() - start) as u64 + 1);
        bytes.truncate(start + kept as usize);
    }
}

impl Input for Disk {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap();
        let found = self.bytes.get(start..).and_then(|rest| rest.get(..buffer.len()));
        let found = found.ok_or_else(|| Error::new(ErrorKind::Malformed, "read", "past the end"))?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

impl Output for Disk {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn append(&mut self, buffers: &mut Vec<Bytes>) -> Result<()> {
        let data = std::mem::take(buffers).concat();
        if self.calls_left == 0 {
            let seed = self.bytes.len() as u64;
            self.tear_append(&data, &mut Random(seed));
        }
        self.call(Some(Change::Append(self.bytes.len(), data)))
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        assert!(
            offset + data.len() as u64 <= self.bytes.len() as u64,
            "only what is there is overwritten"
        );
        assert!(
            data.len() != 8 || offset % 512 <= 504,
            "a flip never straddles two sectors"
        );
        self.overwritten += data.len() as u64;
        self.call(Some(Change::Write(offset, data.to_vec())))
    }

    fn barrier(&mut self) -> Result<()> {
        self.call(None)
    }

    fn insert_range(&mut self, offset: u64, len: u64) -> Result<bool> {
        assert!(offset.is_multiple_of(4096) && len.is_multiple_of(4096) && offset < self.bytes.len() as u64);
        if !self.can_insert {
            return Ok(false);
        }
        self.call(Some(Change::Insert(offset, len)))?;
        Ok(true)
    }

    fn block_size(&self) -> u64 {
        4096
    }
}

impl Repair for Disk {
    fn truncate(&mut self, len: u64) -> Result<()> {
        self.call(Some(Change::Truncate(len)))
    }
}
