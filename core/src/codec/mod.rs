//! Gets headers and payloads of one codec, a file each.
//! Gives codec configurations, key-frame tests and format conversion; knows no protocol or container.

pub mod aac;
pub mod h264;
pub mod mp3;
