//! Gets nothing.
//! Gives the bounds on hostile input, each with its reason. A bound that only one file needs stands there.

/// Longest access unit taken, in bytes: an 8K intra frame at 400 Mb/s and 25 fps is 2 MB; 16 times that.
pub const MAX_SAMPLE_BYTES: usize = 32 * 1024 * 1024;

/// Most tracks of one media session: nothing that publishes here sends more.
pub const MAX_TRACKS: usize = 8;
