//! Gets calls of C hosts.
//! Gives them to the public API of the core; every function guards, checks, calls once, converts.
//!
//! `include/livereel.h` is generated from these files, comments included; its first comment is the
//! contract that every function stands on.

#![expect(
    clippy::missing_safety_doc,
    reason = "the first comment of the header states once what every caller keeps to"
)]

#[cfg(panic = "abort")]
compile_error!("a panic must become LIVEREEL_E_INTERNAL, so livereel needs panic = \"unwind\"");

mod call;
mod handle;

// In the order of the header; the blank lines keep rustfmt from sorting them.
pub mod status;

pub mod error;

pub mod text;

pub mod config;

pub mod engine;

pub mod event;

pub mod session;

pub mod recording;

pub mod push;

pub mod pull;

#[cfg(test)]
mod tests;
