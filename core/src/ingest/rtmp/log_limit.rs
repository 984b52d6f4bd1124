//! Gets moments at which a message of one kind would be logged.
//! Gives leave for one now and then, with the number of those held back.

use std::time::Duration;

use super::limits::LOG_INTERVAL;

/// Holds back all but one message in [`LOG_INTERVAL`].
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    next: Duration,
    held_back: u64,
}

impl LogLimit {
    /// How many were held back before this one, or `None` if this one is to be held back too.
    pub(super) fn admit(&mut self, now: Duration) -> Option<u64> {
        if now < self.next {
            self.held_back = self.held_back.saturating_add(1);
            return None;
        }
        self.next = now.saturating_add(LOG_INTERVAL);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_in_ten_seconds_tells_how_many_were_held_back() {
        let mut limit = LogLimit::default();
        let at = |ms| Duration::from_millis(ms);
        assert_eq!(limit.admit(at(1)), Some(0));
        assert_eq!(limit.admit(at(2)), None);
        assert_eq!(limit.admit(at(9_999)), None);
        assert_eq!(limit.admit(at(10_001)), Some(2));
        assert_eq!(limit.admit(at(10_002)), None);
    }
}
