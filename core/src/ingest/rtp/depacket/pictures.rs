//! Gets the packets of pictures in order.
//! Gives pictures, put together by timestamp and marker, and what of them is missing.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::Frame;
use crate::ingest::rtp::Packet;
use crate::media::Result;

/// What one payload format of pictures knows; it keeps the picture under way.
pub(in crate::ingest::rtp) trait PictureFormat {
    /// Whether the payload is evidently the first of its picture.
    fn begins(&self, payload: &[u8]) -> bool;

    /// Adds a payload to the picture under way.
    ///
    /// # Errors
    /// Where it breaks the format; the picture is to be given up, and [`Self::finish`] still follows.
    fn add(&mut self, payload: Bytes) -> Result<()>;

    /// Packets are missing here: a fragment under way will not be completed.
    fn cut(&mut self);

    /// Ends the picture under way: its data, key flag, configuration and so on. `None` where there was
    /// no picture in it (parameter sets alone).
    fn finish(&mut self) -> Option<Frame>;
}

/// Puts pictures of one format together.
#[derive(Debug, Default)]
pub(in crate::ingest::rtp) struct Pictures<F> {
    format: F,
    current: Option<Current>,
    /// Packets missing before the next.
    lost: u64,
    /// Timestamp of the last picture that a marker ended, as long as no other began.
    ended: Option<u32>,
    begun: bool,
    /// Whether this sender sets markers within pictures: then only a new timestamp ends one.
    markers_lie: bool,
}

#[derive(Debug)]
struct Current {
    timestamp: u32,
    arrival: Duration,
    broken: bool,
    malformed: bool,
    lost_before: u64,
}

impl<F: PictureFormat> Pictures<F> {
    pub(in crate::ingest::rtp) fn new(format: F) -> Self {
        Self {
            format,
            current: None,
            lost: 0,
            ended: None,
            begun: false,
            markers_lie: false,
        }
    }

    pub(super) fn lost(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }

    pub(super) fn packet(&mut self, packet: Packet, arrival: Duration, frames: &mut VecDeque<Frame>) {
        // Padding alone (a sender that probes for bandwidth) fills a number and carries nothing.
        if packet.payload.is_empty() {
            return;
        }
        let mut lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            self.format.cut();
        }
        let same = self
            .current
            .as_ref()
            .is_some_and(|current| current.timestamp == packet.timestamp);
        if !same {
            if let Some(current) = &mut self.current
                && lost > 0
                && !self.markers_lie
            {
                // One of the missing packets was its end, with the marker.
                current.broken = true;
                lost -= 1;
            }
            self.end(frames);
            let begins = self.format.begins(&packet.payload);
            let joined_midway = !std::mem::replace(&mut self.begun, true) && !begins;
            let again = lost == 0 && self.ended == Some(packet.timestamp);
            self.markers_lie |= again;
            let broken = (lost > 0 && !begins) || joined_midway || again;
            if lost > 0 && !begins {
                lost -= 1;
            }
            self.current = Some(Current {
                timestamp: packet.timestamp,
                arrival,
                broken,
                malformed: false,
                lost_before: lost,
            });
        } else if lost > 0
            && let Some(current) = &mut self.current
        {
            current.broken = true;
        }
        self.ended = None;
        if self.format.add(packet.payload).is_err()
            && let Some(current) = &mut self.current
        {
            self.format.cut();
            // Behind missing packets the rest of a fragment makes no sense, and breaks no rule.
            current.malformed |= !current.broken;
        }
        if packet.marker && !self.markers_lie {
            self.end(frames);
            self.ended = Some(packet.timestamp);
        }
    }

    pub(super) fn flush(&mut self, frames: &mut VecDeque<Frame>) {
        if let Some(current) = &mut self.current {
            current.broken |= !self.markers_lie;
        }
        self.end(frames);
        self.ended = None;
        self.begun = false;
        self.lost = 0;
    }

    fn end(&mut self, frames: &mut VecDeque<Frame>) {
        let Some(current) = self.current.take() else { return };
        let picture = self.format.finish();
        // Nothing of a picture in it, and nothing missing: parameter sets on their own.
        if picture.is_none() && !current.broken && !current.malformed && current.lost_before == 0 {
            return;
        }
        frames.push_back(Frame {
            timestamp: current.timestamp,
            arrival: current.arrival,
            broken: current.broken,
            malformed: current.malformed,
            lost_before: current.lost_before,
            ..picture.unwrap_or_default()
        });
    }
}
