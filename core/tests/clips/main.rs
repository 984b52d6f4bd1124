//! Gets recordings made by ffmpeg and by this crate's own muxers.
//! Gives the judgement of ffprobe and ffmpeg on the clips that are cut from them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod judge;
mod mp4;
mod own;
mod ts;
mod webm;
