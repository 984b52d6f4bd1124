//! Gets how media is to travel, and what the server made of it (`Transport`, RFC 2326 section 12.39).
//! Gives the channels or the sockets of a track.

use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::connection::OPERATION;
use super::limits::{PORT_ATTEMPTS, UDP_BUFFER_BYTES};
use crate::media::{Error, ErrorKind, Result};

/// Where the packets of one track come from.
#[derive(Debug)]
pub(super) enum Path {
    /// Channels of the RTSP connection.
    Channels { rtp: u8, rtcp: u8 },
    /// Sockets of their own.
    Ports(Ports),
}

/// The sockets of one track: RTP on an even port, RTCP on the next.
#[derive(Debug)]
pub(super) struct Ports {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    port: u16,
    /// The only address that packets are taken from.
    server: IpAddr,
    /// The ports that the server named: packets of another port are not taken then.
    server_ports: Option<(u16, u16)>,
}

/// What of a track's packet pair a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Rtp,
    Rtcp,
}

impl Ports {
    /// Binds a pair of free ports on the address by which the server is reached.
    pub(super) fn bind(local: IpAddr, server: IpAddr) -> Result<Self> {
        let bound = |port: u16| -> std::io::Result<UdpSocket> {
            let socket = std::net::UdpSocket::bind(SocketAddr::new(local, port))?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        let failed = |error| Error::io("bind UDP ports for RTP", error);
        for _ in 0..PORT_ATTEMPTS {
            let first = bound(0).map_err(failed)?;
            let port = first.local_addr().map_err(failed)?.port();
            // An odd one becomes the RTCP port of the pair.
            let Ok(second) = bound(port ^ 1) else { continue };
            let (rtp, rtcp) = if port.is_multiple_of(2) {
                (first, second)
            } else {
                (second, first)
            };
            // The system's own bound may be lower; a burst may lose packets then, which is counted.
            let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&rtp, UDP_BUFFER_BYTES);
            return Ok(Self {
                rtp,
                rtcp,
                port: port & !1,
                server,
                server_ports: None,
            });
        }
        Err(Error::new(
            ErrorKind::Busy,
            OPERATION,
            "there is no pair of free UDP ports",
        ))
    }

    /// Opens the way back through firewalls and address translation: something has to go out first.
    pub(super) fn open_way(&self, receiver_report: &[u8]) {
        // Version 2, payload type 0, nothing else: no server takes it for media.
        let mut rtp = [0_u8; 12];
        if let Some(first) = rtp.first_mut() {
            *first = 0x80;
        }
        if let Some((port, _)) = self.server_ports {
            // A lost one costs nothing: reports follow.
            let _ = self.rtp.try_send_to(&rtp, SocketAddr::new(self.server, port));
        }
        self.send_report(receiver_report);
    }

    /// Sends RTCP, where the server said to which port. Reports are sent again: a full socket loses one.
    pub(super) fn send_report(&self, packet: &[u8]) {
        if let Some((_, port)) = self.server_ports {
            let _ = self.rtcp.try_send_to(packet, SocketAddr::new(self.server, port));
        }
    }

    /// The next packet of the server, in `buffer`.
    pub(super) fn poll(&self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Part> {
        let (rtp_port, rtcp_port) = self.server_ports.unzip();
        for (socket, port, part) in [(&self.rtp, rtp_port, Part::Rtp), (&self.rtcp, rtcp_port, Part::Rtcp)] {
            // Errors are echoes of what was sent (ICMP): the next packet may be there all the same.
            while let Poll::Ready(result) = {
                buffer.clear();
                socket.poll_recv_from(context, buffer)
            } {
                let Ok(from) = result else { continue };
                if from.ip() == self.server && port.is_none_or(|port| port == from.port()) {
                    return Poll::Ready(part);
                }
            }
        }
        Poll::Pending
    }
}

impl Path {
    /// What a request for the track's transport says; `index` counts the tracks.
    pub(super) fn asked(&self) -> String {
        match self {
            Self::Channels { rtp, rtcp } => format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}"),
            Self::Ports(ports) => format!("RTP/AVP;unicast;client_port={}-{}", ports.port, ports.port + 1),
        }
    }

    /// Takes what the server made of it.
    ///
    /// # Errors
    /// `Unsupported` where it wants to send in another way.
    pub(super) fn answered(&mut self, header: Option<&str>) -> Result<()> {
        // Cameras that leave the header out do as they were asked.
        let header = header.unwrap_or_default();
        let mut parts = header.split(';').map(str::trim);
        let profile = parts.next().unwrap_or_default().to_ascii_uppercase();
        let parts: Vec<&str> = parts.collect();
        let value = |name: &str| {
            parts
                .iter()
                .filter_map(|part| part.split_once('='))
                .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
        };
        let other = |message| {
            Err(Error::new(ErrorKind::Unsupported, OPERATION, message).with("transport", header.escape_debug()))
        };
        if parts.iter().any(|part| part.eq_ignore_ascii_case("multicast")) {
            return other("the source sends to a multicast group only");
        }
        let over_tcp = profile.ends_with("/TCP");
        match self {
            Self::Channels { rtp, rtcp } => {
                if !profile.is_empty() && !over_tcp {
                    return other("the source does not send within the RTSP connection (rtsp_transport=udp does it)");
                }
                if let Some((first, second)) = value("interleaved").and_then(pair::<u8>) {
                    (*rtp, *rtcp) = (first, second);
                }
            }
            Self::Ports(ports) => {
                if over_tcp {
                    return other("the source does not send over UDP (rtsp_transport=tcp does without)");
                }
                ports.server_ports = value("server_port")
                    .and_then(pair::<u16>)
                    .filter(|(rtp, rtcp)| *rtp != 0 && *rtcp != 0);
            }
        }
        Ok(())
    }
}

/// `4-5`, or `4` alone, whose partner is the next.
fn pair<T: std::str::FromStr + TryFrom<u32> + Into<u32> + Copy>(text: &str) -> Option<(T, T)> {
    match text.split_once('-') {
        Some((first, second)) => Some((first.trim().parse().ok()?, second.trim().parse().ok()?)),
        None => {
            let first: T = text.parse().ok()?;
            Some((first, T::try_from(first.into() + 1).ok()?))
        }
    }
}
