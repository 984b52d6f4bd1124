//! A publisher: STUN, DTLS and SRTP over one socket, over a link that can lose and delay.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::super::dtls::{Identity, Progress, Secure};
use super::super::offer::Fingerprint;
use super::super::session::now;
use super::super::stun;
use super::super::{WebrtcServer, WhipAnswer};
use super::gate::request;
use crate::ingest::rtp::Packet;

pub(super) const AUDIO: u8 = 111;
pub(super) const VIDEO: u8 = 96;
pub(super) const REPAIR: u8 = 97;
pub(super) const AUDIO_SSRC: u32 = 0x1111_1111;
pub(super) const VIDEO_SSRC: u32 = 0x2222_2222;
pub(super) const REPAIR_SSRC: u32 = 0x3333_3333;

/// An offer of Opus and one video codec, as browsers word it.
pub(super) fn offer(fingerprint: &str, codec: &str, setup: &str) -> String {
    format!(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
         a=extmap-allow-mixed\r\na=msid-semantic: WMS s\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF {AUDIO} 63\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
         a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=ice-options:trickle\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:{setup}\r\na=mid:0\r\n\
         a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
         a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
         a=sendonly\r\na=msid:s a\r\na=rtcp-mux\r\na=rtpmap:{AUDIO} opus/48000/2\r\n\
         a=rtcp-fb:{AUDIO} transport-cc\r\na=fmtp:{AUDIO} minptime=10;useinbandfec=1\r\n\
         a=rtpmap:63 red/48000/2\r\na=fmtp:63 {AUDIO}/{AUDIO}\r\na=ssrc:{AUDIO_SSRC} cname:c\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 35 {VIDEO} {REPAIR}\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
         a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 {fingerprint}\r\n\
         a=setup:{setup}\r\na=mid:1\r\n\
         a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
         a=sendonly\r\na=msid:s v\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:35 X-UNKNOWN/90000\r\n\
         a=rtpmap:{VIDEO} {codec}/90000\r\na=rtcp-fb:{VIDEO} goog-remb\r\na=rtcp-fb:{VIDEO} transport-cc\r\n\
         a=rtcp-fb:{VIDEO} ccm fir\r\na=rtcp-fb:{VIDEO} nack\r\na=rtcp-fb:{VIDEO} nack pli\r\n\
         a=rtpmap:{REPAIR} rtx/90000\r\na=fmtp:{REPAIR} apt={VIDEO}\r\n\
         a=ssrc-group:FID {VIDEO_SSRC} {REPAIR_SSRC}\r\na=ssrc:{VIDEO_SSRC} cname:c\r\n"
    )
}

/// The value of the first line that begins so.
pub(super) fn value<'a>(sdp: &'a str, start: &str) -> &'a str {
    sdp.lines().find_map(|line| line.strip_prefix(start)).unwrap()
}

/// What a link does to datagrams.
#[derive(Clone, Copy, Default)]
pub(super) struct Link {
    pub(super) loss_percent: u64,
    pub(super) jitter: Duration,
}

/// A connected publisher.
pub(super) struct Client {
    pub(super) socket: UdpSocket,
    pub(super) secure: Secure,
    pub(super) answer: WhipAnswer,
    pub(super) username: String,
    pub(super) password: String,
    epoch: Instant,
    transport_number: u16,
    repair_number: u16,
    sent: HashMap<u16, Packet>,
    /// How often each packet was asked for.
    pub(super) asked: BTreeMap<u16, u32>,
    pub(super) pictures_lost: u32,
    pub(super) feedbacks: u32,
    pub(super) reports: u32,
    random: u64,
}

impl Client {
    /// Publishes and connects.
    pub(super) async fn connect(server: &WebrtcServer, name: &str, codec: &str, setup: &str) -> Self {
        let identity = Identity::random().unwrap();
        let answer = server
            .publish(&offer(&identity.fingerprint, codec, setup), request(name))
            .unwrap();
        let fingerprint = value(&answer.sdp, "a=fingerprint:sha-256 ").replace(':', "");
        let fingerprint = Fingerprint {
            algorithm: &ring::digest::SHA256,
            value: hex::decode(fingerprint).unwrap(),
        };
        let epoch = now();
        let mut client = Self {
            socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            secure: Secure::new(&identity, vec![fingerprint], setup != "passive").unwrap(),
            username: format!("{}:abcd", value(&answer.sdp, "a=ice-ufrag:")),
            password: value(&answer.sdp, "a=ice-pwd:").to_owned(),
            answer,
            epoch,
            transport_number: 0,
            repair_number: 0,
            sent: HashMap::new(),
            asked: BTreeMap::new(),
            pictures_lost: 0,
            feedbacks: 0,
            reports: 0,
            random: 0x9e37_79b9_7f4a_7c15,
        };
        client.socket.connect(server.address().unwrap()).await.unwrap();
        client.check().await;
        client.secure.reachable(now()).unwrap();
        while !client.secure.is_connected() {
            client.flush().await;
            let datagram = client.receive().await;
            if matches!(datagram.first(), Some(20..=63)) {
                assert_ne!(client.secure.datagram(&datagram, now()).unwrap(), Progress::Closed);
            }
        }
        client.flush().await;
        client
    }

    /// A connectivity check and its answer.
    pub(super) async fn check(&mut self) {
        let request = stun::tests::request(&self.username, &self.password, true, [9; 12]);
        self.socket.send(&request).await.unwrap();
        loop {
            let answer = self.receive().await;
            if stun::is_stun(&answer) {
                assert_eq!(answer[..2], [1, 1]);
                return;
            }
            if matches!(answer.first(), Some(20..=63)) {
                self.secure.datagram(&answer, now()).unwrap();
            }
        }
    }

    pub(super) async fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 2048];
        let received = tokio::time::timeout(Duration::from_secs(20), self.socket.recv(&mut buffer)).await;
        let length = received.expect("the server is silent").unwrap();
        buffer.truncate(length);
        buffer
    }

    async fn flush(&mut self) {
        while let Some(datagram) = self.secure.outgoing() {
            self.socket.send(&datagram).await.unwrap();
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }

    /// A packet as it goes over the link.
    pub(super) fn seal(&mut self, packet: &Packet, payload_type: u8) -> Vec<u8> {
        let mut bytes = vec![0x90, payload_type | if packet.marker { 0x80 } else { 0 }];
        bytes.extend(packet.sequence.to_be_bytes());
        bytes.extend(packet.timestamp.to_be_bytes());
        bytes.extend(packet.ssrc.to_be_bytes());
        self.transport_number = self.transport_number.wrapping_add(1);
        let [high, low] = self.transport_number.to_be_bytes();
        bytes.extend([0xbe, 0xde, 0, 1, 0x31, high, low, 0]);
        bytes.extend(&packet.payload);
        self.secure.seal_rtp(&bytes).to_vec()
    }

    /// Sends packets in order, `spacing` apart, over the link, and answers what is asked for until
    /// nothing was asked for half a second.
    pub(super) async fn send(&mut self, packets: &[(u8, Packet)], spacing: Duration, link: Link) {
        let begun = now();
        let mut queue: BTreeMap<(Instant, usize), Vec<u8>> = BTreeMap::new();
        let mut order = 0;
        let mut next = packets.iter().enumerate().peekable();
        let mut quiet_since = now();
        loop {
            let at = now();
            while let Some((index, (payload_type, packet))) =
                next.next_if(|(index, _)| begun + spacing * (*index as u32) <= at)
            {
                let sealed = self.seal(packet, *payload_type);
                if *payload_type == VIDEO {
                    self.sent.insert(packet.sequence, packet.clone());
                }
                // What was before the first packet nobody can know.
                let lost = index > 1 && self.below(100) < link.loss_percent;
                if !lost {
                    let late = self.below(link.jitter.as_micros().max(1) as u64);
                    order += 1;
                    queue.insert((at + Duration::from_micros(late), order), sealed);
                }
                quiet_since = at;
            }
            while let Some(first) = queue.first_entry()
                && first.key().0 <= at
            {
                self.socket.send(&first.remove()).await.unwrap();
            }
            if next.peek().is_none() && queue.is_empty() && at - quiet_since > Duration::from_millis(500) {
                return;
            }
            let mut buffer = vec![0; 2048];
            let received = tokio::time::timeout(Duration::from_millis(1), self.socket.recv(&mut buffer)).await;
            let Ok(Ok(length)) = received else { continue };
            for repair in self.feedback(&buffer[..length]) {
                quiet_since = now();
                if self.below(100) >= link.loss_percent {
                    let late = self.below(link.jitter.as_micros().max(1) as u64);
                    order += 1;
                    queue.insert((now() + Duration::from_micros(late), order), repair);
                }
            }
        }
    }

    /// Reads what the server says; gives the packets that it asks for again.
    pub(super) fn feedback(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
        use rtc::rtcp::receiver_report::ReceiverReport;
        use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
        use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
        if !matches!(datagram.first(), Some(128..=191)) {
            return Vec::new();
        }
        let mut compound = self.secure.open_rtcp(datagram).expect("it is sealed");
        let mut repairs = Vec::new();
        for packet in rtc::rtcp::packet::unmarshal(&mut compound).expect("it is RTCP") {
            let packet = packet.as_any();
            if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                assert_eq!(nack.media_ssrc, VIDEO_SSRC);
                for number in nack.nacks.iter().flat_map(|pair| pair.packet_list()) {
                    *self.asked.entry(number).or_default() += 1;
                    let Some(lost) = self.sent.get(&number).cloned() else {
                        continue;
                    };
                    let mut payload = number.to_be_bytes().to_vec();
                    payload.extend(&lost.payload);
                    self.repair_number = self.repair_number.wrapping_add(1);
                    let repair = Packet {
                        sequence: self.repair_number,
                        ssrc: REPAIR_SSRC,
                        payload: payload.into(),
                        ..lost
                    };
                    repairs.push(self.seal(&repair, REPAIR));
                }
            } else if let Some(loss) = packet.downcast_ref::<PictureLossIndication>() {
                assert_eq!(loss.media_ssrc, VIDEO_SSRC);
                self.pictures_lost += 1;
            } else if packet.downcast_ref::<TransportLayerCc>().is_some() {
                self.feedbacks += 1;
            } else if packet.downcast_ref::<ReceiverReport>().is_some() {
                self.reports += 1;
            }
        }
        repairs
    }

    /// The time since the client began.
    pub(super) fn since(&self) -> Duration {
        now() - self.epoch
    }
}

impl Client {
    /// Shakes hands for an offer that was made by somebody else, as far as that goes.
    pub(super) async fn handshake_with_another_certificate(server: &WebrtcServer, answer: &WhipAnswer) {
        let identity = Identity::random().unwrap();
        let fingerprint = Fingerprint {
            algorithm: &ring::digest::SHA256,
            value: hex::decode(value(&answer.sdp, "a=fingerprint:sha-256 ").replace(':', "")).unwrap(),
        };
        let mut secure = Secure::new(&identity, vec![fingerprint], true).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server.address().unwrap()).await.unwrap();
        let username = format!("{}:abcd", value(&answer.sdp, "a=ice-ufrag:"));
        let check = stun::tests::request(&username, value(&answer.sdp, "a=ice-pwd:"), true, [9; 12]);
        socket.send(&check).await.unwrap();
        secure.reachable(now()).unwrap();
        let mut buffer = vec![0; 2048];
        loop {
            while let Some(datagram) = secure.outgoing() {
                socket.send(&datagram).await.unwrap();
            }
            let Ok(Ok(length)) = tokio::time::timeout(Duration::from_secs(2), socket.recv(&mut buffer)).await else {
                return;
            };
            if matches!(buffer[0], 20..=63) && secure.datagram(&buffer[..length], now()).is_err() {
                return;
            }
        }
    }
}
