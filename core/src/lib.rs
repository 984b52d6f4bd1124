//! livereel records live media streams inside the process of a host application.
//!
//! The folders stand in the order in which a sample meets them; `ARCHITECTURE.md` follows one
//! sample from the socket to the file.

pub mod audio;
pub mod clip;
pub mod codec;
pub mod engine;
pub mod ingest;
mod isobmff;
pub mod media;
pub mod mux;
pub mod recording;
pub mod rest;
pub mod storage;
