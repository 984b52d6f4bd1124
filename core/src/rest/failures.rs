//! Gets addresses that showed a wrong token.
//! Gives how long an address has to wait before it may try again.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::media::sync::Mutex;

/// Wrong tokens that an address may show in [`WINDOW`]: a person with a typo has enough, a guess at a
/// token of 64 bits would take longer than the universe is old.
const MAX_FAILURES: u32 = 10;

/// How long failures count.
const WINDOW: Duration = Duration::from_secs(60);

/// Addresses remembered at once; a million of them may try, and the first are forgotten.
const MAX_ADDRESSES: usize = 4096;

/// Who failed how often.
#[derive(Default)]
pub(crate) struct Failures {
    addresses: Mutex<HashMap<IpAddr, Count>>,
}

#[derive(Clone, Copy)]
struct Count {
    since: Duration,
    failures: u32,
}

impl Failures {
    /// How long `address` has to wait, where it has to.
    pub(crate) fn wait(&self, address: IpAddr, now: Duration) -> Option<Duration> {
        let addresses = self.addresses.lock();
        let count = addresses.get(&network(address))?;
        let left = (count.since + WINDOW).checked_sub(now)?;
        (count.failures >= MAX_FAILURES && !left.is_zero()).then_some(left)
    }

    pub(crate) fn failed(&self, address: IpAddr, now: Duration) {
        let mut addresses = self.addresses.lock();
        let fresh = Count {
            since: now,
            failures: 0,
        };
        let is_new = !addresses.contains_key(&network(address));
        if is_new && addresses.len() >= MAX_ADDRESSES {
            addresses.retain(|_, count| count.since + WINDOW > now);
        }
        if is_new
            && addresses.len() >= MAX_ADDRESSES
            && let Some(oldest) = addresses
                .iter()
                .min_by_key(|(_, count)| count.since)
                .map(|(key, _)| *key)
        {
            addresses.remove(&oldest);
        }
        let count = addresses.entry(network(address)).or_insert(fresh);
        if count.since + WINDOW <= now {
            *count = fresh;
        }
        count.failures += 1;
    }
}

/// Who has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_address_waits_after_ten_failures_until_the_window_is_over() {
        let failures = Failures::default();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..MAX_FAILURES {
            assert_eq!(failures.wait(address, SECOND), None);
            failures.failed(address, SECOND);
        }
        assert_eq!(failures.wait(address, 2 * SECOND), Some(59 * SECOND));
        assert_eq!(failures.wait("192.0.2.2".parse().unwrap(), 2 * SECOND), None);
        assert_eq!(failures.wait(address, 61 * SECOND), None);
        failures.failed(address, 61 * SECOND);
        assert_eq!(failures.wait(address, 61 * SECOND), None);
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_memory_is_bounded() {
        let failures = Failures::default();
        for number in 0..u16::try_from(2 * MAX_ADDRESSES).unwrap() {
            failures.failed(IpAddr::V6(Ipv6Addr::new(1, 2, 3, number, 0, 0, 0, 7)), SECOND);
        }
        assert!(failures.addresses.lock().len() <= MAX_ADDRESSES);
        for host in 0..u16::try_from(MAX_FAILURES).unwrap() {
            failures.failed(IpAddr::V6(Ipv6Addr::new(9, 9, 9, 9, 0, 0, 0, host)), SECOND);
        }
        assert!(failures.wait("9:9:9:9::ffff".parse().unwrap(), SECOND).is_some());
    }
}
