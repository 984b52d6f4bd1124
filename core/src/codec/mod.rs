//! Gets headers and payloads of one codec, a file each.
//! Gives codec configurations, key-frame tests and format conversion; knows no protocol or container.

pub mod aac;
pub mod annex_b;
pub mod av1;
pub mod colour;
pub mod g711;
pub mod h264;
pub mod h265;
pub mod mp3;
pub mod nal;
pub mod opus;
#[cfg(test)]
pub(crate) mod test_media;
pub mod vp8;
pub mod vp9;
