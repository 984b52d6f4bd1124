//! Gets the tracks with their tables, and the front of a growing file.
//! Gives the finished file, in the layout that was asked for and that there is room for.

use super::edit_list::last_picture;
use super::front::{Front, block};
use super::moov;
use super::track::Track;
use crate::isobmff::WIDE_HEADER_LEN;
use crate::media::{Result, Rounding, Timestamp};
use crate::mux::{Finished, Output};

/// Settles how long the last sample of each track lasts: pictures until `end` where that is plausible,
/// else, and sound always, as long as the last fragment said. A track that another codec took over
/// from ended before.
pub(super) fn settle_tails(tracks: &mut [Track], end: Option<Timestamp>) {
    for track in tracks.iter_mut().filter(|track| track.live) {
        let end = end.and_then(|end| end.rescale(track.timescale, Rounding::Nearest).ok());
        if let Some(tail) = end.and_then(|end| last_picture(track, end.ticks())) {
            track.tail = tail;
        }
    }
}

/// Writes the index of a file whose fragments are all there.
///
/// # Errors
/// Those of [`Output`].
pub(super) fn finish(
    tracks: &[Track],
    created: u64,
    index_first: bool,
    front: &mut Front,
    out: &mut dyn Output,
) -> Result<Finished> {
    let block = block(out);
    // Offsets of 32 bits must hold wherever the media moves: behind an index and one block more.
    let farthest = out.len() + moov::with_index_bound(tracks, false) + block;
    let wide = u32::try_from(farthest).is_err();
    let bound = moov::with_index_bound(tracks, wide);
    if !index_first {
        let moov = moov::with_index(tracks, created, front.end, wide);
        front.finish_with_index_last(moov, out)?;
        return Ok(Finished::InPlace);
    }
    if front.fits(bound) || front.grow(bound + WIDE_HEADER_LEN - front.room(), out)? {
        front.finish(moov::with_index(tracks, created, front.end, wide), out)?;
        return Ok(Finished::InPlace);
    }
    // The fragments have to be there whenever what stands in front of them is.
    out.barrier()?;
    let len = Front::rewritten_len(bound, block);
    let moov = moov::with_index(tracks, created, len, wide);
    Ok(Finished::WithFront {
        front: front.rewritten(&moov, len, out.len()),
        replaces: front.end,
    })
}
