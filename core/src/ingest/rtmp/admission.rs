//! Gets connections as they are accepted.
//! Gives a place to each, or says that there is none: in all, and for its address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::media::sync::Mutex;

use super::limits::{MAX_CONNECTIONS, MAX_WAITING_PER_ADDRESS};

/// The places of one listener.
#[derive(Debug, Default)]
pub(super) struct Admission {
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    waiting: HashMap<IpAddr, usize>,
}

/// The place of one connection, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    /// What it waits under until it publishes.
    waiting_as: Option<IpAddr>,
}

impl Admission {
    /// A place for a connection from `address`.
    ///
    /// # Errors
    /// Why there is none, for the log.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, &'static str> {
        let mut places = self.places.lock();
        if places.taken >= MAX_CONNECTIONS {
            return Err("there are too many connections");
        }
        let waiting_as = owner(address);
        if let Some(owner) = waiting_as {
            let waiting = places.waiting.entry(owner).or_default();
            if *waiting >= MAX_WAITING_PER_ADDRESS {
                return Err("the address has too many connections that do not publish");
            }
            *waiting += 1;
        }
        places.taken += 1;
        Ok(Place {
            admission: Arc::clone(self),
            waiting_as,
        })
    }
}

impl Place {
    /// Says that the connection publishes: it does not count for its address any more.
    pub(super) fn publishes(&mut self) {
        if let Some(owner) = self.waiting_as.take() {
            self.admission.places.lock().no_longer_waits(owner);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.admission.places.lock();
        places.taken = places.taken.saturating_sub(1);
        if let Some(owner) = self.waiting_as.take() {
            places.no_longer_waits(owner);
        }
    }
}

impl Places {
    fn no_longer_waits(&mut self, owner: IpAddr) {
        if let Some(waiting) = self.waiting.get_mut(&owner) {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting.remove(&owner);
            }
        }
    }
}

/// Whom an address counts for: itself, its /64 in IPv6 (which one customer has in whole), nobody on
/// loopback.
fn owner(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(address) => Some(IpAddr::V4(address)),
        IpAddr::V6(address) => Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(admission: &Arc<Admission>, address: &str) -> Result<Place, &'static str> {
        admission.enter(address.parse().unwrap())
    }

    #[test]
    fn an_address_has_64_places_until_one_of_them_publishes() {
        let admission = Arc::new(Admission::default());
        let mut places: Vec<Place> = (0..64).map(|_| enter(&admission, "192.0.2.1").unwrap()).collect();
        enter(&admission, "192.0.2.1").unwrap_err();
        enter(&admission, "::ffff:192.0.2.1").unwrap_err();
        drop(enter(&admission, "192.0.2.2").unwrap());
        places.first_mut().unwrap().publishes();
        places.push(enter(&admission, "192.0.2.1").unwrap());
        enter(&admission, "192.0.2.1").unwrap_err();
        places.pop();
        enter(&admission, "192.0.2.1").unwrap();
        drop(places);
        assert_eq!(admission.places.lock().taken, 0);
        assert!(admission.places.lock().waiting.is_empty());
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_address() {
        let admission = Arc::new(Admission::default());
        let _places: Vec<Place> = (0..64)
            .map(|host| enter(&admission, &format!("2001:db8::{host:x}")).unwrap())
            .collect();
        enter(&admission, "2001:db8::ffff:1").unwrap_err();
        enter(&admission, "2001:db8:0:1::1").unwrap();
    }

    #[test]
    fn loopback_is_bounded_by_all_places_only() {
        let admission = Arc::new(Admission::default());
        let places: Vec<Place> = (0..1024).map(|_| enter(&admission, "127.0.0.1").unwrap()).collect();
        enter(&admission, "127.0.0.1").unwrap_err();
        enter(&admission, "192.0.2.1").unwrap_err();
        drop(places);
        enter(&admission, "::1").unwrap();
    }
}
