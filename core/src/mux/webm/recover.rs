//! Gets a growing WebM as a crash or a power cut left it.
//! Gives the finished file with every whole batch of samples that is in it, by the same finish as any
//! other.
//!
//! First all is read and nothing written. What an earlier finish, or an earlier recovery, left undone is
//! among the states that reading knows:
//!
//! | left by | what is there | what is done |
//! | --- | --- | --- |
//! | growing | a last cluster without a size, perhaps half a batch | the half is cut off, the size is told |
//! | a power cut | clusters whose size is not there or ends elsewhere | it is put right |
//! | cues behind | an element behind the last cluster | it is cut off and made again |
//! | cues in front | cues that a reader sees | they become room again, and are made again |
//! | the first sector | a segment with a size | nothing: the file is finished |

use super::ebml::malformed;
use super::finish::{finish, finish_within};
use super::read::{self, ReadFront, Walk, Window};
use crate::media::{ErrorKind, Result};
use crate::mux::{Finished, Input, MuxOptions, Recovered, RecoveredTrack, Repair};

/// Batches so close to the end of the file have their checksums verified. Only what was not synced can
/// be torn: one second at 512 Mb/s. Reading more than that back would make recovery as slow as a copy.
const VERIFIED_BYTES: u64 = 64 * 1024 * 1024;

/// Finishes a growing WebM.
///
/// Creation time and tracks are those which the file tells; of `options` counts where the cues go. Where
/// the disk has no room for cues behind the clusters, as many as fit go in front.
///
/// # Errors
/// See [`crate::mux::recover`].
pub fn recover(options: MuxOptions, file: &mut dyn Repair) -> Result<(Recovered, Finished)> {
    let (found, walk) = survey(file)?;
    if found.finished {
        let duration_ms = found.duration_ms;
        return Ok((recovered(&walk, duration_ms, 0), Finished::InPlace));
    }
    let cut_bytes = Input::len(file).saturating_sub(walk.end);
    if cut_bytes > 0 {
        file.truncate(walk.end)?;
    }
    for closed in &walk.mends {
        let (at, size) = closed.patch();
        file.write_at(at, &size)?;
    }
    if cut_bytes > 0 || !walk.mends.is_empty() {
        file.barrier()?;
    }
    if found.has_cues {
        found.front.hide_cues(file)?;
    }
    match finish(&found.front, &walk.index, options.index_first, None, file) {
        Err(error) if error.kind() == ErrorKind::DiskFull => {
            file.truncate(walk.end)?;
            finish_within(&found.front, &walk.index, file)?;
        }
        result => result?,
    }
    Ok((
        recovered(&walk, walk.index.duration_ms(None), cut_bytes),
        Finished::InPlace,
    ))
}

/// Reads the file without changing it.
///
/// # Errors
/// `Malformed` where nothing plays, `Io`.
fn survey(file: &dyn Input) -> Result<(ReadFront, Walk)> {
    let mut window = Window::new(file);
    let found = read::front(&mut window)?;
    let verified_from = match found.finished {
        true => u64::MAX,
        false => file.len().saturating_sub(VERIFIED_BYTES),
    };
    let walk = read::clusters(&mut window, &found, verified_from)?;
    if walk.index.is_empty() && !found.finished {
        return Err(malformed("there is no whole sample in it"));
    }
    Ok((found, walk))
}

fn recovered(walk: &Walk, duration_ms: f64, cut_bytes: u64) -> Recovered {
    let with_samples = walk.index.tallies.iter().filter(|tally| tally.samples > 0);
    Recovered {
        duration_ms: duration_ms.round() as i64,
        tracks: with_samples
            .map(|tally| RecoveredTrack {
                kind: tally.kind,
                codec: tally.codec.to_owned(),
                samples: tally.samples,
            })
            .collect(),
        cut_bytes,
    }
}
