//! Gets a front, and the index of all the blocks that are in the file.
//! Gives the finished file.

use bytes::Bytes;

use super::front::{Front, Told};
use super::index::Index;
use crate::media::{Result, Timestamp};
use crate::mux::Output;

/// Writes the cues and what the first sector tells of a file whose clusters are all closed.
///
/// # Errors
/// Those of [`Output`].
pub(super) fn finish(
    front: &Front,
    index: &Index,
    cues_first: bool,
    end: Option<Timestamp>,
    out: &mut dyn Output,
) -> Result<()> {
    let len = index.cues_len();
    let cues_at = if len == 0 {
        out.barrier()?;
        None
    } else if cues_first && front.fits(len) {
        Some(front.show_cues(index.cues(), out)?)
    } else {
        let at = out.len();
        out.append(&mut vec![Bytes::from(index.cues())])?;
        out.barrier()?;
        Some(at)
    };
    tell(front, index, cues_at, end, out)
}

/// Finishes a file for whose cues the disk has no room: what fits into the front goes there.
///
/// # Errors
/// Those of [`Output`].
pub(super) fn finish_within(front: &Front, index: &Index, out: &mut dyn Output) -> Result<()> {
    let cues = index.cues_within(front.room_within());
    let cues_at = if cues.is_empty() {
        out.barrier()?;
        None
    } else {
        Some(front.show_cues(cues, out)?)
    };
    tell(front, index, cues_at, None, out)
}

fn tell(
    front: &Front,
    index: &Index,
    cues_at: Option<u64>,
    end: Option<Timestamp>,
    out: &mut dyn Output,
) -> Result<()> {
    let told = Told {
        duration_ms: index.duration_ms(end),
        cues_at,
        len: out.len(),
    };
    front.finish(&told, out)
}
