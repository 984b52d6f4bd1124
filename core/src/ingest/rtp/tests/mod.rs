//! Gets real media, packetized by GStreamer, through a simulated network.
//! Gives the tests of the receiving end what they compare.

mod clock;
mod decode_times;
mod formats;
mod hostile;
mod network;
pub(in crate::ingest) mod source;

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::*;
use crate::media::{Sample, TrackConfig, TrackId};

/// What came out of a receiver.
#[derive(Default)]
struct Received {
    samples: Vec<Sample>,
    configs: Vec<TrackConfig>,
    dropped: BTreeMap<&'static str, u64>,
    key_frames_wanted: usize,
    facts: ReceiverFacts,
}

impl Received {
    fn take(&mut self, output: Output) {
        match output {
            Output::Config(config) => self.configs.push(config),
            Output::Sample(sample) => self.samples.push(sample),
            Output::Dropped { reason, count } => *self.dropped.entry(reason).or_default() += count,
            Output::WantKeyFrame => self.key_frames_wanted += 1,
        }
    }

    fn total(&self) -> u64 {
        self.samples.len() as u64 + self.dropped.values().sum::<u64>()
    }
}

fn hash(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

/// Everything of `packets` through one receiver, in the order given, and to the end.
fn receive(format: Format, clock_rate: u32, options: ReceiverOptions, packets: &[(Duration, Packet)]) -> Received {
    let mut receiver = Receiver::new(TrackId(1), format, clock_rate, options, &SessionTime::new()).unwrap();
    let mut received = Received::default();
    let mut now = Duration::ZERO;
    for (at, packet) in packets {
        now = *at;
        receiver.packet(packet.clone(), now);
        while let Some(output) = receiver.poll(now) {
            received.take(output);
        }
    }
    receiver.finish(now);
    while let Some(output) = receiver.poll(now) {
        received.take(output);
    }
    received.facts = receiver.facts();
    received
}

/// When each packet arrives on a good link: with its timestamp, those of one picture 50 µs apart.
fn on_time(clock_rate: u32, packets: &[Packet]) -> Vec<(Duration, Packet)> {
    let first = packets[0].timestamp;
    let mut now = Duration::from_secs(1);
    packets
        .iter()
        .map(|packet| {
            let ticks = i64::from(packet.timestamp.wrapping_sub(first) as i32).max(0) as u64;
            let due = Duration::from_secs(1) + Duration::from_nanos(ticks * 1_000_000_000 / u64::from(clock_rate));
            now = due.max(now + Duration::from_micros(50));
            (now, packet.clone())
        })
        .collect()
}
