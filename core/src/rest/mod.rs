//! Gets HTTP requests, from a listener or from a host's own server.
//! Gives answers: control, downloads, clips, WHIP, metrics and the page.

mod call;
mod clips;
mod conditions;
mod disposition;
mod error;
mod failures;
mod guard;
mod json;
mod listener;
mod metrics;
mod openapi;
mod options;
mod page;
mod pull;
mod ranges;
mod recorder;
mod records;
mod router;
mod segments;
mod start;
mod stream;
mod timed_io;
mod tls;
mod whip;

pub use call::{Body, Chunks, FileRange};
pub use guard::Peer;
pub use options::RestOptions;
pub use router::Rest;

#[cfg(test)]
mod tests;
