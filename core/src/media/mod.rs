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

pub use codec_config::{
    AacConfig, Av1Config, CodecConfig, G711Config, G711Law, H264Config, H265Config, Mp3Config, OpusConfig,
    VorbisConfig, Vp8Config, Vp9Config,
};
pub use container::Container;
pub use error::{Error, ErrorKind, Result};
pub use sample::{Sample, Unit};
pub use time::{Rounding, Timescale, Timestamp, UnixMs};
pub use track::{TrackConfig, TrackId, TrackKind};
