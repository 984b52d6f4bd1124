//! Gets an offer and what this side has to tell.
//! Gives the SDP answer, and the lines that were agreed on.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::offer::{
    EXT_MID, EXT_REPAIRED_RID, EXT_RID, EXT_TRANSPORT_CC, Offer, PayloadType, Section, Setup, parameter,
};
use crate::ingest::rtp::Format;
use crate::media::{Error, ErrorKind, Result, TrackId, TrackKind};

/// Short-term credentials of ICE (RFC 8445 section 5.3): at least 24 and 128 bits of randomness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) ufrag: String,
    pub(super) password: String,
}

impl Credentials {
    pub(super) fn random() -> Self {
        let word = || uuid::Uuid::new_v4().simple().to_string();
        Self {
            ufrag: word(),
            password: word(),
        }
    }
}

/// A media line that was agreed on.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) track: TrackId,
    pub(super) kind: TrackKind,
    pub(super) format: Format,
    pub(super) clock_rate: u32,
    pub(super) payload_type: u8,
    /// The payload type of retransmissions (RFC 4588).
    pub(super) repair_type: Option<u8>,
    pub(super) nack: bool,
    pub(super) pli: bool,
    pub(super) fir: bool,
    pub(super) transport_cc: Option<u8>,
    pub(super) rid: Option<u8>,
    pub(super) repaired_rid: Option<u8>,
    /// Whether it comes in several layers, of which one is recorded.
    pub(super) layered: bool,
    pub(super) repairs: Vec<(u32, u32)>,
}

/// Where this side can be reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    pub(super) udp: Vec<SocketAddr>,
    pub(super) tcp: Vec<SocketAddr>,
}

impl Candidates {
    /// `a=candidate` lines (RFC 8839 section 5.1, RFC 6544 section 4.5), of which none follows later.
    pub(super) fn write(&self, sdp: &mut String) {
        // RFC 8445 section 5.1.2.1; UDP before TCP, the first address before the others.
        let priority = |kind: u32, index: usize| (kind << 24) | (0xffff - (index as u32).min(0xfff)) << 8 | 255;
        for (index, address) in self.udp.iter().enumerate() {
            let (ip, port) = (address.ip(), address.port());
            let priority = priority(126, index);
            line(
                sdp,
                format_args!("a=candidate:{} 1 udp {priority} {ip} {port} typ host", index + 1),
            );
        }
        for (index, address) in self.tcp.iter().enumerate() {
            let (ip, port) = (address.ip(), address.port());
            let priority = priority(90, index);
            let foundation = self.udp.len() + index + 1;
            line(
                sdp,
                format_args!("a=candidate:{foundation} 1 tcp {priority} {ip} {port} typ host tcptype passive"),
            );
        }
        line(sdp, format_args!("a=end-of-candidates"));
    }
}

/// What this side tells of itself.
pub(super) struct Local<'a> {
    pub(super) credentials: &'a Credentials,
    /// SHA-256 of the certificate, in the form of SDP.
    pub(super) fingerprint: &'a str,
    pub(super) candidates: &'a Candidates,
    pub(super) session_number: u32,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) sdp: String,
    pub(super) lines: Vec<Line>,
    /// Whether this side begins the DTLS handshake.
    pub(super) active: bool,
}

const OPERATION: &str = "answer an SDP offer";

/// Answers an offer: of sound and of pictures the first section each that livereel can record, in the
/// first payload type of it that livereel records. Everything else is refused in its place.
///
/// # Errors
/// `Unsupported` where nothing of it can be recorded.
pub(super) fn answer(offer: &Offer, local: &Local<'_>) -> Result<Answer> {
    let chosen = choose(offer)?;
    let active = offer.setup == Setup::Passive;
    let mut sdp = String::with_capacity(4096);
    line(&mut sdp, format_args!("v=0"));
    line(&mut sdp, format_args!("o=- {} 1 IN IP4 0.0.0.0", local.session_number));
    line(&mut sdp, format_args!("s=-"));
    line(&mut sdp, format_args!("t=0 0"));
    line(&mut sdp, format_args!("a=ice-lite"));
    if offer.mixed_extensions {
        line(&mut sdp, format_args!("a=extmap-allow-mixed"));
    }
    let mids: Vec<&str> = chosen
        .iter()
        .filter_map(|(section, ..)| section.mid.as_deref())
        .collect();
    if !mids.is_empty() {
        line(&mut sdp, format_args!("a=group:BUNDLE {}", mids.join(" ")));
    }
    line(&mut sdp, format_args!("a=msid-semantic: WMS"));
    let mut lines = Vec::new();
    for (index, section) in offer.sections.iter().enumerate() {
        let found = chosen.iter().find(|(known, ..)| std::ptr::eq(*known, section));
        let Some((_, payload_type, format)) = found else {
            refuse(&mut sdp, section);
            continue;
        };
        let track = TrackId(u32::try_from(index).unwrap_or(0) + 1);
        lines.push(accept(&mut sdp, section, payload_type, format, track, local, active));
    }
    Ok(Answer { sdp, lines, active })
}

/// The sections to be recorded.
fn choose(offer: &Offer) -> Result<Vec<(&Section, &PayloadType, Format)>> {
    let mut chosen: Vec<(&Section, &PayloadType, Format)> = Vec::new();
    let mut reasons = Vec::new();
    for section in offer
        .sections
        .iter()
        .filter(|section| !section.rejected && section.sends)
    {
        let Some(kind) = section.kind() else { continue };
        if !section.protocol.ends_with("/SAVPF") && !section.protocol.ends_with("/SAVP") {
            reasons.push(format!("{} over {}", section.media, section.protocol));
            continue;
        }
        if !section.rtcp_mux {
            reasons.push(format!("{} without rtcp-mux", section.media));
            continue;
        }
        if chosen.iter().any(|(known, ..)| known.kind() == Some(kind)) {
            continue;
        }
        let Some((payload_type, format)) = section.choice() else {
            let names: Vec<_> = section
                .payload_types
                .iter()
                .map(|offered| offered.name.as_str())
                .collect();
            let names: String = names.join(" ").chars().take(200).collect();
            reasons.push(format!("{} as {names}", section.media));
            continue;
        };
        if format.kind() != kind {
            reasons.push(format!("{} as {}", section.media, payload_type.name));
            continue;
        }
        // All share one transport, where the payload type tells them apart (RFC 8843 section 9.2).
        if chosen.iter().any(|(_, known, _)| known.number == payload_type.number) {
            reasons.push(format!("payload type {} twice", payload_type.number));
            continue;
        }
        chosen.push((section, payload_type, format));
    }
    if chosen.is_empty() {
        let message = match reasons.as_slice() {
            [] => "the offer sends neither sound nor pictures".to_owned(),
            some => format!("the offer has nothing that can be recorded: {}", some.join(", ")),
        };
        return Err(Error::new(ErrorKind::Unsupported, OPERATION, message));
    }
    Ok(chosen)
}

fn refuse(sdp: &mut String, section: &Section) {
    let formats = if section.format_words.is_empty() {
        "0".to_owned()
    } else {
        section.format_words.join(" ")
    };
    line(
        sdp,
        format_args!("m={} 0 {} {formats}", section.media, section.protocol),
    );
    line(sdp, format_args!("c=IN IP4 0.0.0.0"));
    if let Some(mid) = &section.mid {
        line(sdp, format_args!("a=mid:{mid}"));
    }
    line(sdp, format_args!("a=inactive"));
}

fn accept(
    sdp: &mut String,
    section: &Section,
    chosen: &PayloadType,
    format: &Format,
    track: TrackId,
    local: &Local<'_>,
    active: bool,
) -> Line {
    let repair = section.repair_of(chosen.number);
    let number = chosen.number;
    let numbers = repair.map_or_else(|| number.to_string(), |repair| format!("{number} {}", repair.number));
    line(
        sdp,
        format_args!("m={} 9 {} {numbers}", section.media, section.protocol),
    );
    line(sdp, format_args!("c=IN IP4 0.0.0.0"));
    line(sdp, format_args!("a=rtcp:9 IN IP4 0.0.0.0"));
    local.candidates.write(sdp);
    line(sdp, format_args!("a=ice-ufrag:{}", local.credentials.ufrag));
    line(sdp, format_args!("a=ice-pwd:{}", local.credentials.password));
    line(sdp, format_args!("a=fingerprint:sha-256 {}", local.fingerprint));
    line(
        sdp,
        format_args!("a=setup:{}", if active { "active" } else { "passive" }),
    );
    if let Some(mid) = &section.mid {
        line(sdp, format_args!("a=mid:{mid}"));
    }
    line(sdp, format_args!("a=recvonly"));
    line(sdp, format_args!("a=rtcp-mux"));
    line(sdp, format_args!("a=rtcp-rsize"));
    for (id, uri) in &section.extensions {
        if [EXT_MID, EXT_RID, EXT_REPAIRED_RID, EXT_TRANSPORT_CC].contains(&uri.as_str()) {
            line(sdp, format_args!("a=extmap:{id} {uri}"));
        }
    }
    let name = spelled(&chosen.name);
    match chosen.channels {
        Some(channels) => line(
            sdp,
            format_args!("a=rtpmap:{number} {name}/{}/{channels}", chosen.clock_rate),
        ),
        None => line(sdp, format_args!("a=rtpmap:{number} {name}/{}", chosen.clock_rate)),
    }
    let fmtp = answered_parameters(chosen);
    if !fmtp.is_empty() {
        line(sdp, format_args!("a=fmtp:{number} {fmtp}"));
    }
    let transport_cc = section
        .extension(EXT_TRANSPORT_CC)
        .filter(|_| chosen.has_feedback("transport-cc"));
    let taken = ["nack", "nack pli", "ccm fir"];
    let wanted = taken.iter().filter(|what| chosen.has_feedback(what));
    for what in wanted.chain(transport_cc.is_some().then_some(&"transport-cc")) {
        line(sdp, format_args!("a=rtcp-fb:{number} {what}"));
    }
    if let Some(repair) = repair {
        line(
            sdp,
            format_args!("a=rtpmap:{} rtx/{}", repair.number, repair.clock_rate),
        );
        line(sdp, format_args!("a=fmtp:{} apt={number}", repair.number));
    }
    let layers = section.simulcast && !section.rids.is_empty();
    if layers {
        for rid in &section.rids {
            line(sdp, format_args!("a=rid:{rid} recv"));
        }
        line(sdp, format_args!("a=simulcast:recv {}", section.rids.join(";")));
    }
    Line {
        track,
        kind: format.kind(),
        format: format.clone(),
        clock_rate: chosen.clock_rate,
        payload_type: number,
        repair_type: repair.map(|repair| repair.number),
        nack: chosen.has_feedback("nack"),
        pli: chosen.has_feedback("nack pli"),
        fir: chosen.has_feedback("ccm fir"),
        transport_cc,
        rid: section.extension(EXT_RID),
        repaired_rid: section.extension(EXT_REPAIRED_RID),
        layered: (layers && section.rids.len() > 1) || section.source_layers,
        repairs: section.repairs.clone(),
    }
}

/// The parameters of the answer: the offer's own, and that sound of two channels is welcome where the
/// publisher says that it has it (RFC 7587 section 6.1).
fn answered_parameters(chosen: &PayloadType) -> String {
    let mut fmtp = chosen.fmtp.clone();
    if chosen.name == "OPUS" && parameter(&fmtp, "sprop-stereo") == Some("1") && parameter(&fmtp, "stereo").is_none() {
        fmtp.push_str(";stereo=1");
    }
    fmtp
}

/// Some publishers compare encoding names letter by letter.
fn spelled(name: &str) -> &str {
    match name {
        "OPUS" => "opus",
        other => other,
    }
}

fn line(sdp: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = sdp.write_fmt(text);
    sdp.push_str("\r\n");
}

/// The part of an answer that an ICE restart changes (RFC 8840 section 9).
pub(super) fn fragment(credentials: &Credentials, mid: Option<&str>, candidates: &Candidates) -> String {
    let mut sdp = String::new();
    line(&mut sdp, format_args!("a=ice-lite"));
    line(&mut sdp, format_args!("a=ice-ufrag:{}", credentials.ufrag));
    line(&mut sdp, format_args!("a=ice-pwd:{}", credentials.password));
    line(&mut sdp, format_args!("m=audio 9 UDP/TLS/RTP/SAVPF 0"));
    if let Some(mid) = mid {
        line(&mut sdp, format_args!("a=mid:{mid}"));
    }
    candidates.write(&mut sdp);
    sdp
}
