//! Gets nothing from anybody: the vocabulary of the house, time, samples, tracks, errors, limits.
//! Gives it to every other layer; knows no sockets, files, clocks or threads.

pub mod codec_config;
pub mod container;
pub mod error;
pub mod limits;
pub mod sample;
pub mod sync;
pub mod time;
pub mod track;

pub use codec_config::{AacConfig, CodecConfig, H264Config, Mp3Config};
pub use container::Container;
pub use error::{Error, ErrorKind, Result};
pub use sample::{Sample, Unit};
pub use time::{Rounding, Timescale, Timestamp, UnixMs};
pub use track::{TrackConfig, TrackId, TrackKind};
