//! Gets the setting that names UDP ports, and where a publisher calls from.
//! Gives sockets, and the addresses at which it can reach them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::media::{Error, ErrorKind, Result};

/// Sockets opened of a range: each serves any number of sessions, more only share the work of reading.
const MAX_SOCKETS: usize = 16;

/// Ports that a listener of WebRTC may take: `8189`, `50000-50100`, `127.0.0.1:0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpPorts {
    /// The address to bind; every one where it is none.
    pub host: Option<IpAddr>,
    /// The first port; 0 for a free one.
    pub first: u16,
    /// The last port.
    pub last: u16,
}

impl UdpPorts {
    /// Reads `port`, `first-last`, either with `address:` before it; IPv6 addresses in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, ports) = match text.rsplit_once(':') {
            Some((host, ports)) => {
                let host = host
                    .strip_prefix('[')
                    .and_then(|host| host.strip_suffix(']'))
                    .unwrap_or(host);
                (Some(host.parse().ok()?), ports)
            }
            None => (None, text),
        };
        let number = |text: &str| text.trim().parse::<u16>().ok();
        let (first, last) = match ports.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(ports)?, number(ports)?),
        };
        (first <= last && (first > 0 || last == 0)).then_some(Self { host, first, last })
    }

    /// Opens the sockets: all of a range that are free, at most 16.
    ///
    /// # Errors
    /// `Io` where no port of it can be had.
    pub(super) fn open(&self) -> Result<Vec<UdpSocket>> {
        let mut sockets = Vec::new();
        let mut failed = None;
        for port in self.first..=self.last {
            if sockets.len() == MAX_SOCKETS {
                break;
            }
            match self.bind(port) {
                Ok(socket) => sockets.push(socket),
                Err(error) => failed = Some(error),
            }
        }
        match (sockets.is_empty(), failed) {
            (true, Some(error)) => Err(Error::io("open a WebRTC port", error)
                .with("first_port", self.first)
                .with("last_port", self.last)),
            (true, None) => Err(Error::new(
                ErrorKind::InvalidConfig,
                "open a WebRTC port",
                "there is none",
            )),
            _ => Ok(sockets),
        }
    }

    fn bind(&self, port: u16) -> std::io::Result<UdpSocket> {
        let socket = match self.host {
            Some(host) => UdpSocket::bind((host, port))?,
            // Both families where the system has both.
            None => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port))
                .or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))?,
        };
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// The addresses that a publisher at `peer` is told for a socket bound to `bound`: the public ones
/// where there are any, else those from which this machine would call it, and the rest of the world.
pub(super) fn reachable_at(bound: SocketAddr, public: &[IpAddr], peer: Option<IpAddr>) -> Vec<SocketAddr> {
    /// Addresses of documentation (RFC 5737, RFC 3849): nothing is sent there, they only choose a route.
    const ABROAD: [IpAddr; 2] = [
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    ];
    let mut addresses: Vec<IpAddr> = if !public.is_empty() {
        public.to_vec()
    } else if !bound.ip().is_unspecified() {
        vec![bound.ip()]
    } else {
        let asked = peer.into_iter().map(|peer| peer.to_canonical()).chain(ABROAD);
        asked
            .filter(|asked| bound.is_ipv6() || asked.is_ipv4())
            .filter_map(source_for)
            .collect()
    };
    let mut seen = Vec::new();
    addresses.retain(|address| {
        !seen.contains(address) && {
            seen.push(*address);
            true
        }
    });
    addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, bound.port()))
        .collect()
}

/// The address from which this machine would send to `peer`.
fn source_for(peer: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match peer {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // The port of discarding (RFC 863); connecting a UDP socket sends nothing.
    socket.connect((peer, 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_one_or_a_range_with_or_without_an_address() {
        let ports = |host: Option<&str>, first, last| UdpPorts {
            host: host.map(|host| host.parse().unwrap()),
            first,
            last,
        };
        assert_eq!(UdpPorts::parse("8189"), Some(ports(None, 8189, 8189)));
        assert_eq!(UdpPorts::parse("50000-50100"), Some(ports(None, 50_000, 50_100)));
        assert_eq!(UdpPorts::parse("127.0.0.1:0"), Some(ports(Some("127.0.0.1"), 0, 0)));
        assert_eq!(UdpPorts::parse("[::1]:7-9"), Some(ports(Some("::1"), 7, 9)));
        for wrong in ["", "x", "70000", "9-7", "0-5", "-5", "host:1", ":1", "1-2-3"] {
            assert_eq!(UdpPorts::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn candidates_are_public_ones_or_those_that_the_route_tells() {
        let public = ["198.51.100.7".parse().unwrap()];
        let bound = "0.0.0.0:8189".parse().unwrap();
        let told: SocketAddr = "198.51.100.7:8189".parse().unwrap();
        assert_eq!(reachable_at(bound, &public, None), [told]);
        let own: SocketAddr = "127.0.0.1:8189".parse().unwrap();
        assert_eq!(reachable_at(own, &[], None), [own]);
        let local = reachable_at(bound, &[], Some("127.0.0.1".parse().unwrap()));
        assert_eq!(local.first(), Some(&own));
    }
}
