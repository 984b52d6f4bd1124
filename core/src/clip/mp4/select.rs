//! Gets stretches of samples with even times, from tables or fragments.
//! Gives the places in them that a clip begins and ends at.

use super::tables::Mark;

/// Samples in decode order with one duration and one composition offset, times in ticks of the media.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) first: u64,
    pub(super) count: u64,
    /// Of the first.
    pub(super) dts: i64,
    pub(super) delta: u32,
    pub(super) offset: i32,
}

impl Stretch {
    /// When the sample at `index`, from 0 within the stretch, is shown.
    pub(super) fn pts(&self, index: u64) -> i64 {
        self.dts + i64::from(self.offset) + index as i64 * i64::from(self.delta)
    }

    /// The last that is shown at `at` or before, from 0 within the stretch.
    pub(super) fn last_shown(&self, at: i64) -> Option<u64> {
        let past = u64::try_from(at.checked_sub(self.pts(0))?).ok()?;
        let last = self.count.checked_sub(1)?;
        Some(
            past.checked_div(u64::from(self.delta))
                .map_or(last, |index| index.min(last)),
        )
    }
}

/// A sample, times in ticks of the media.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) dts: i64,
    /// `pts` less `dts`.
    pub(super) offset: i32,
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) key: bool,
    /// In the file.
    pub(super) position: u64,
    /// The sample entry, from 1.
    pub(super) entry: u32,
}

impl Entry {
    /// When it is shown.
    pub(super) fn pts(&self) -> i64 {
        self.dts + i64::from(self.offset)
    }

    /// Until when it is shown.
    pub(super) fn end(&self) -> i64 {
        self.pts() + i64::from(self.duration)
    }
}

/// A key frame that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) index: u64,
    pub(super) pts: i64,
    /// The stretch it is in begins here.
    pub(super) mark: Mark,
}

/// What a look at the samples around a clip found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    /// The last key frame in decode order shown at the start or before.
    pub(super) key: Option<Found>,
    /// The latest presentation time at the start or before.
    pub(super) shown: Option<i64>,
    /// One above the index of the last sample, in decode order, shown before the end; 0 if there is none.
    pub(super) end: u64,
}
