//! Gets the 32-bit millisecond timestamps of RTMP messages, which wrap every 49.7 days.
//! Gives them on one endless 64-bit line.

/// Unwraps the timestamps of one publisher (RTMP 1.0 section 5.3.1.1 counts modulo 2^32).
///
/// Audio and video share it, so that both wrap at the same moment, whichever crosses first. A step
/// of less than 2^31 ms either way is what it seems: small steps back stay steps back.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last_ms: Option<i64>,
}

impl Clock {
    /// The place of `raw_ms` on the endless line: the one nearest to the last.
    pub(super) fn unwrap_ms(&mut self, raw_ms: u32) -> i64 {
        let now_ms = match self.last_ms {
            None => i64::from(raw_ms),
            Some(last_ms) => {
                let low_bits = last_ms as u32;
                let step = raw_ms.wrapping_sub(low_bits) as i32;
                last_ms.saturating_add(i64::from(step))
            }
        };
        self.last_ms = Some(now_ms);
        now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_past_two_to_the_32_ms_for_audio_and_video_alike() {
        let mut clock = Clock::default();
        let raw = [u32::MAX - 20, u32::MAX - 5, 4, u32::MAX - 1, 38, 24];
        let got: Vec<i64> = raw.iter().map(|&raw| clock.unwrap_ms(raw)).collect();
        let wrap = 1_i64 << 32;
        assert_eq!(got, [wrap - 21, wrap - 6, wrap + 4, wrap - 2, wrap + 38, wrap + 24]);
    }

    #[test]
    fn it_wraps_again_and_again() {
        let mut clock = Clock::default();
        let mut expected = 0_i64;
        for _ in 0..20 {
            assert_eq!(clock.unwrap_ms(expected as u32), expected);
            expected += 1 << 30;
        }
        assert!(expected > 4 << 32);
    }

    #[test]
    fn a_step_back_is_no_wrap_even_below_zero() {
        let mut clock = Clock::default();
        assert_eq!(clock.unwrap_ms(10), 10);
        assert_eq!(clock.unwrap_ms(u32::MAX - 4), -5);
        assert_eq!(clock.unwrap_ms(33), 33);
        assert_eq!(clock.unwrap_ms(3_600_000), 3_600_000);
        assert_eq!(clock.unwrap_ms(0), 0);
    }
}
