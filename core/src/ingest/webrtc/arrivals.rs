//! Gets the transport-wide numbers of packets and when they arrived.
//! Gives the feedback that the publisher's bandwidth estimate lives on.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{BufMut, BytesMut};

/// Most packets that one feedback tells of: a tenth of a second at 10,000 packets a second.
const MAX_TOLD: u64 = 1000;

/// Arrival times are told in steps of this, and the reference in steps of 64 ms
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
const DELTA_MICROS: i64 = 250;
const REFERENCE_MICROS: i64 = 64_000;

/// Status symbols of packets.
const NOT_RECEIVED: u16 = 0;
const SMALL_DELTA: u16 = 1;
const LARGE_DELTA: u16 = 2;

/// The packets that were not yet told of.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// By number, unwrapped.
    untold: BTreeMap<u64, i64>,
    highest: Option<u64>,
    /// The first number that the next feedback tells of.
    next: u64,
    feedbacks: u8,
}

impl Arrivals {
    /// A packet with this number arrived at `now`.
    pub(super) fn packet(&mut self, number: u16, now: Duration) {
        let number = match self.highest {
            // Leaves room for numbers before the first.
            None => 0x1_0000 + u64::from(number),
            Some(highest) => {
                let step = number.wrapping_sub(highest as u16) as i16;
                highest.saturating_add_signed(i64::from(step))
            }
        };
        if self.highest.is_none() {
            self.next = number;
        }
        if self.highest.is_some_and(|highest| number.abs_diff(highest) > MAX_TOLD) {
            // A jump: what is between was hardly sent, and would have to be told of one by one.
            self.untold.clear();
            self.next = number;
        }
        self.highest = self.highest.max(Some(number));
        if number >= self.next && self.untold.len() < MAX_TOLD as usize {
            let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
            self.untold.entry(number).or_insert(micros);
        }
    }

    /// The body of the next feedback packet, if there is anything to tell.
    pub(super) fn feedback(&mut self, sender: u32, media: u32) -> Option<BytesMut> {
        let untold = std::mem::take(&mut self.untold);
        let (&last, _) = untold.last_key_value()?;
        let (_, &first_arrival) = untold.first_key_value()?;
        let base = self.next.max(last.saturating_sub(MAX_TOLD));
        let reference = first_arrival.div_euclid(REFERENCE_MICROS);
        let mut before = reference * (REFERENCE_MICROS / DELTA_MICROS);
        let (mut symbols, mut deltas) = (Vec::new(), BytesMut::new());
        for number in base..=last {
            let Some(arrival) = untold.get(&number) else {
                symbols.push(NOT_RECEIVED);
                continue;
            };
            let at = arrival.div_euclid(DELTA_MICROS);
            let delta = at - before;
            if let Ok(small) = u8::try_from(delta) {
                symbols.push(SMALL_DELTA);
                deltas.put_u8(small);
                before = at;
            } else if let Ok(large) = i16::try_from(delta) {
                symbols.push(LARGE_DELTA);
                deltas.put_i16(large);
                before = at;
            } else {
                symbols.push(NOT_RECEIVED);
            }
        }
        let mut body = BytesMut::new();
        body.put_u32(sender);
        body.put_u32(media);
        body.put_u16(base as u16);
        body.put_u16(symbols.len() as u16);
        body.put_u32(((reference as u32) & 0xff_ffff) << 8 | u32::from(self.feedbacks));
        // Vectors of seven symbols of two bits.
        for chunk in symbols.chunks(7) {
            let vector = chunk
                .iter()
                .enumerate()
                .fold(0xc000, |vector, (index, symbol)| vector | symbol << (12 - 2 * index));
            body.put_u16(vector);
        }
        body.put_slice(&deltas);
        self.feedbacks = self.feedbacks.wrapping_add(1);
        self.next = last + 1;
        Some(body)
    }
}
