//! Gets the SDP offer of a publisher.
//! Gives what of it matters to a server that only receives, bounded and checked.

use crate::ingest::rtp::Format;
use crate::media::{Error, ErrorKind, Result, TrackKind};

/// Largest SDP taken, in bytes: browsers with everything on send 10 KiB.
pub const MAX_SDP_BYTES: usize = 64 * 1024;

/// Most media sections: browsers publish two, three with data.
const MAX_SECTIONS: usize = 8;

/// Most payload types of a section: seven bits, less those of RTCP.
const MAX_FORMATS: usize = 96;

/// Most of each other list of a section (header extensions, layers).
const MAX_LISTED: usize = 32;

/// Longest identifier (`mid`, `rid`, `ice-ufrag`) in bytes; RFC 8839 section 5.4 allows 256.
const MAX_ID_BYTES: usize = 256;

/// Header extensions that are used.
pub(super) const EXT_MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
pub(super) const EXT_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
pub(super) const EXT_REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
pub(super) const EXT_TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// Who begins the DTLS handshake, as the offer says it (RFC 4145, RFC 5763 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// The publisher does, or leaves it open: this side waits.
    ActPass,
    /// The publisher does.
    Active,
    /// The publisher waits: this side begins.
    Passive,
}

/// A certificate's fingerprint (RFC 8122).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub(super) algorithm: &'static ring::digest::Algorithm,
    pub(super) value: Vec<u8>,
}

/// What of an offer is used.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) setup: Setup,
    pub(super) sections: Vec<Section>,
    pub(super) mixed_extensions: bool,
}

/// A payload type of a section.
#[derive(Clone, Debug, Default)]
pub(super) struct PayloadType {
    pub(super) number: u8,
    /// Encoding name in upper case; empty without an `rtpmap`.
    pub(super) name: String,
    pub(super) clock_rate: u32,
    pub(super) channels: Option<u8>,
    pub(super) fmtp: String,
    pub(super) feedback: Vec<String>,
}

impl PayloadType {
    /// Its payload format, where livereel records it.
    pub(super) fn format(&self) -> Option<Format> {
        Format::from_fmtp(&self.name, self.clock_rate, self.channels, &self.fmtp).ok()
    }

    pub(super) fn has_feedback(&self, wanted: &str) -> bool {
        self.feedback.iter().any(|known| known == wanted)
    }
}

/// A media section.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    /// The first word of its `m=` line.
    pub(super) media: String,
    /// The transport of its `m=` line.
    pub(super) protocol: String,
    /// The formats of its `m=` line, as they stand there.
    pub(super) format_words: Vec<String>,
    pub(super) rejected: bool,
    pub(super) mid: Option<String>,
    pub(super) sends: bool,
    pub(super) rtcp_mux: bool,
    pub(super) payload_types: Vec<PayloadType>,
    pub(super) extensions: Vec<(u8, String)>,
    /// Layers that it sends (`a=rid:… send`), in order.
    pub(super) rids: Vec<String>,
    /// `a=simulcast:send`, or a group of sources that are layers (`ssrc-group:SIM`).
    pub(super) simulcast: bool,
    pub(super) source_layers: bool,
    /// Sources and those that repair them (`ssrc-group:FID`).
    pub(super) repairs: Vec<(u32, u32)>,
}

impl Section {
    pub(super) fn kind(&self) -> Option<TrackKind> {
        match self.media.as_str() {
            "audio" => Some(TrackKind::Audio),
            "video" => Some(TrackKind::Video),
            _ => None,
        }
    }

    pub(super) fn extension(&self, uri: &str) -> Option<u8> {
        self.extensions
            .iter()
            .find(|(_, known)| known == uri)
            .map(|(id, _)| *id)
    }

    /// The payload type to be used: the first that livereel records.
    pub(super) fn choice(&self) -> Option<(&PayloadType, Format)> {
        self.payload_types
            .iter()
            .find_map(|offered| Some((offered, offered.format()?)))
    }

    /// The payload type in which `number` is sent again (RFC 4588).
    pub(super) fn repair_of(&self, number: u8) -> Option<&PayloadType> {
        self.payload_types.iter().find(|offered| {
            offered.name == "RTX" && parameter(&offered.fmtp, "apt").and_then(|apt| apt.parse().ok()) == Some(number)
        })
    }
}

/// A parameter of an `fmtp`.
pub(super) fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// `LimitExceeded` where it is too long or has too many sections, `Malformed` where something that
    /// is needed is missing or broken.
    pub(super) fn parse(sdp: &str) -> Result<Self> {
        if sdp.len() > MAX_SDP_BYTES {
            return Err(Error::new(ErrorKind::LimitExceeded, READ, "the offer is too long")
                .with("length_bytes", sdp.len())
                .with("most_bytes", MAX_SDP_BYTES));
        }
        let mut lines = sdp.lines().map(str::trim_end).filter(|line| !line.is_empty());
        if lines.next() != Some("v=0") {
            return Err(malformed("an offer begins with v=0"));
        }
        let mut reader = Reader::default();
        for line in lines {
            reader.line(line)?;
        }
        reader.finish()
    }
}

const READ: &str = "read an SDP offer";

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, READ, message)
}

#[derive(Default)]
struct Reader {
    fingerprints: Vec<Fingerprint>,
    setup: Option<Setup>,
    session_direction: Option<bool>,
    mixed_extensions: bool,
    ice: (bool, bool),
    sections: Vec<Section>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<()> {
        if let Some(media) = line.strip_prefix("m=") {
            return self.section(media);
        }
        let Some(attribute) = line.strip_prefix("a=") else {
            return Ok(());
        };
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "fingerprint" => self.fingerprint(value)?,
            "setup" => {
                self.setup.get_or_insert(match value {
                    "passive" => Setup::Passive,
                    "active" => Setup::Active,
                    _ => Setup::ActPass,
                });
            }
            "ice-ufrag" => self.ice.0 = true,
            "ice-pwd" => self.ice.1 = true,
            "extmap-allow-mixed" => self.mixed_extensions = true,
            _ => self.section_attribute(name, value)?,
        }
        Ok(())
    }

    fn section(&mut self, media: &str) -> Result<()> {
        if self.sections.len() == MAX_SECTIONS {
            return Err(
                Error::new(ErrorKind::LimitExceeded, READ, "the offer has too many media sections")
                    .with("most", MAX_SECTIONS),
            );
        }
        let mut words = media.split_ascii_whitespace();
        let (Some(kind), Some(port), Some(protocol)) = (words.next(), words.next(), words.next()) else {
            return Err(malformed("a media section is cut short"));
        };
        let format_words: Vec<String> = words.take(MAX_FORMATS).map(str::to_owned).collect();
        let mut section = Section {
            media: kind.to_owned(),
            protocol: protocol.to_owned(),
            rejected: port == "0",
            sends: self.session_direction.unwrap_or(true),
            ..Section::default()
        };
        if section.kind().is_some() {
            for word in &format_words {
                let number = word
                    .parse::<u8>()
                    .ok()
                    .filter(|number| *number < 128)
                    .ok_or_else(|| malformed("a payload type is no number below 128"))?;
                section.payload_types.push(static_type(number));
            }
        }
        section.format_words = format_words;
        self.sections.push(section);
        Ok(())
    }

    fn section_attribute(&mut self, name: &str, value: &str) -> Result<()> {
        let direction = match name {
            "sendrecv" | "sendonly" => Some(true),
            "recvonly" | "inactive" => Some(false),
            _ => None,
        };
        let Some(section) = self.sections.last_mut() else {
            self.session_direction = direction.or(self.session_direction);
            return Ok(());
        };
        if let Some(sends) = direction {
            section.sends = sends;
            return Ok(());
        }
        match name {
            "mid" => section.mid = Some(identifier(value)?),
            "rtcp-mux" => section.rtcp_mux = true,
            "rtpmap" => {
                let (number, mapping) = value
                    .split_once(' ')
                    .ok_or_else(|| malformed("an rtpmap is cut short"))?;
                let mut parts = mapping.trim().split('/');
                let name = parts.next().unwrap_or_default().to_ascii_uppercase();
                let clock_rate = parts.next().and_then(|rate| rate.parse().ok()).unwrap_or(0);
                let channels = parts.next().and_then(|channels| channels.parse().ok());
                if let Some(offered) = payload_type(section, number) {
                    (offered.name, offered.clock_rate, offered.channels) = (name, clock_rate, channels);
                }
            }
            "fmtp" => {
                if let Some((number, parameters)) = value.split_once(' ')
                    && let Some(offered) = payload_type(section, number)
                {
                    offered.fmtp = parameters.trim().to_owned();
                }
            }
            "rtcp-fb" => feedback(section, value),
            "extmap" => {
                let (id, uri) = value
                    .split_once(' ')
                    .ok_or_else(|| malformed("an extmap is cut short"))?;
                let id = id.split('/').next().and_then(|id| id.parse().ok()).filter(|id| *id > 0);
                if let Some(id) = id.filter(|_| section.extensions.len() < MAX_LISTED) {
                    let uri = uri.split_ascii_whitespace().next().unwrap_or_default();
                    section.extensions.push((id, uri.to_owned()));
                }
            }
            "rid" => {
                let mut words = value.split_ascii_whitespace();
                if let (Some(rid), Some("send")) = (words.next(), words.next())
                    && section.rids.len() < MAX_LISTED
                {
                    section.rids.push(identifier(rid)?);
                }
            }
            "simulcast" => section.simulcast = value.split_ascii_whitespace().any(|word| word == "send"),
            "ssrc-group" => sources(section, value),
            _ => {}
        }
        Ok(())
    }

    fn fingerprint(&mut self, value: &str) -> Result<()> {
        let (algorithm, digits) = value
            .split_once(' ')
            .ok_or_else(|| malformed("a fingerprint is cut short"))?;
        let algorithm = match algorithm.to_ascii_lowercase().as_str() {
            "sha-256" => &ring::digest::SHA256,
            "sha-384" => &ring::digest::SHA384,
            "sha-512" => &ring::digest::SHA512,
            // Others are not safe, or not known; one that is has to be there.
            _ => return Ok(()),
        };
        let value =
            hex::decode(digits.trim().replace(':', "")).map_err(|_| malformed("a fingerprint is no hexadecimal"))?;
        if self.fingerprints.len() < MAX_SECTIONS {
            self.fingerprints.push(Fingerprint { algorithm, value });
        }
        Ok(())
    }

    fn finish(self) -> Result<Offer> {
        if self.fingerprints.is_empty() {
            return Err(malformed("the offer has no fingerprint of SHA-256, SHA-384 or SHA-512"));
        }
        if self.ice != (true, true) {
            return Err(malformed("the offer has no ice-ufrag or no ice-pwd"));
        }
        if self.sections.is_empty() {
            return Err(malformed("the offer has no media section"));
        }
        Ok(Offer {
            fingerprints: self.fingerprints,
            setup: self.setup.unwrap_or(Setup::ActPass),
            sections: self.sections,
            mixed_extensions: self.mixed_extensions,
        })
    }
}

/// The payload types that mean something without an `rtpmap` (RFC 3551 section 6).
fn static_type(number: u8) -> PayloadType {
    let (name, clock_rate) = match number {
        0 => ("PCMU", 8000),
        8 => ("PCMA", 8000),
        _ => ("", 0),
    };
    PayloadType {
        number,
        name: name.to_owned(),
        clock_rate,
        ..PayloadType::default()
    }
}

fn payload_type<'a>(section: &'a mut Section, number: &str) -> Option<&'a mut PayloadType> {
    let number: u8 = number.trim().parse().ok()?;
    section
        .payload_types
        .iter_mut()
        .find(|offered| offered.number == number)
}

/// `a=rtcp-fb` (RFC 4585 section 4.2); `*` is every payload type.
fn feedback(section: &mut Section, value: &str) {
    let Some((number, what)) = value.split_once(' ') else {
        return;
    };
    let number = number.trim();
    let every = number == "*";
    for offered in &mut section.payload_types {
        if (every || number.parse() == Ok(offered.number)) && offered.feedback.len() < MAX_LISTED {
            offered.feedback.push(what.trim().to_owned());
        }
    }
}

/// `a=ssrc-group` (RFC 5576 section 4.2).
fn sources(section: &mut Section, value: &str) {
    let mut words = value.split_ascii_whitespace();
    let semantics = words.next().unwrap_or_default();
    let numbers: Vec<u32> = words.filter_map(|word| word.parse().ok()).take(MAX_LISTED).collect();
    match (semantics, numbers.as_slice()) {
        ("FID", &[source, repair]) if section.repairs.len() < MAX_LISTED => section.repairs.push((source, repair)),
        ("SIM", [_, _, ..]) => section.source_layers = true,
        _ => {}
    }
}

/// A token that is repeated in the answer: one line of it, and no longer than needed.
fn identifier(value: &str) -> Result<String> {
    let is_token = |byte: u8| byte.is_ascii_graphic();
    if value.is_empty() || value.len() > MAX_ID_BYTES || !value.bytes().all(is_token) {
        return Err(malformed(
            "an identifier is empty, too long or has letters that it may not have",
        ));
    }
    Ok(value.to_owned())
}
