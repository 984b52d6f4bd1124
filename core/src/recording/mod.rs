//! Gets units of one media session from the engine.
//! Gives finished files: timeline, rotation, names, and the writer threads that do the work.

pub mod clock;
pub mod inlet;
pub mod naming;
pub mod opening;
pub mod part;
pub mod plan;
#[allow(clippy::module_inception)]
pub mod recording;
pub mod recovery;
pub mod report;
pub mod rotation;
pub mod status;
pub mod timeline;
mod tracks;
pub mod writers;

#[cfg(test)]
mod tests;
