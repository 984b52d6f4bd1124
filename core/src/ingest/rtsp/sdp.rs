//! Gets the body of an answer to DESCRIBE (SDP, RFC 8866), as cameras write it.
//! Gives its media with what a receiver needs, and where each is controlled.
//!
//! Lines that cannot be read are passed over: cameras leave out mandatory ones and invent others.

use super::limits::{MAX_FORMATS, MAX_MEDIA};

/// A session description.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Description {
    /// `a=control` of the session.
    pub(super) control: Option<String>,
    pub(super) media: Vec<Media>,
}

/// One media description.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Media {
    /// `video`, `audio`, `application`.
    pub(super) kind: String,
    /// Whether it is plain RTP (`RTP/AVP`, `RTP/AVPF`).
    pub(super) plain_rtp: bool,
    /// `a=control`.
    pub(super) control: Option<String>,
    pub(super) formats: Vec<Encoding>,
}

/// A payload type and what it means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Encoding {
    pub(super) payload_type: u8,
    /// Empty where neither an `rtpmap` nor RFC 3551 tells it.
    pub(super) name: String,
    pub(super) clock_rate: u32,
    pub(super) channels: Option<u8>,
    pub(super) fmtp: String,
}

impl Description {
    /// Reads what can be read.
    pub(super) fn read(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let mut description = Self::default();
        for line in text.split(['\r', '\n']) {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            match key.trim() {
                "m" => {
                    // One beyond the limit is refused with all of its lines.
                    if description.media.len() == MAX_MEDIA {
                        break;
                    }
                    description.media.push(Media::read(value));
                }
                "a" => description.attribute(value.trim()),
                _ => {}
            }
        }
        description
    }

    fn attribute(&mut self, attribute: &str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let value = value.trim();
        match (name.trim(), self.media.last_mut()) {
            ("control", Some(media)) => media.control = Some(value.to_owned()),
            ("control", None) => self.control = Some(value.to_owned()),
            ("rtpmap", Some(media)) => {
                if let Some((encoding, map)) = media.format(value) {
                    let mut parts = map.split('/');
                    encoding.name = parts.next().unwrap_or_default().trim().to_owned();
                    encoding.clock_rate = parts.next().and_then(|rate| rate.trim().parse().ok()).unwrap_or(0);
                    encoding.channels = parts.next().and_then(|channels| channels.trim().parse().ok());
                }
            }
            ("fmtp", Some(media)) => {
                if let Some((encoding, parameters)) = media.format(value) {
                    encoding.fmtp = parameters.to_owned();
                }
            }
            _ => {}
        }
    }
}

impl Media {
    /// Reads `video 0 RTP/AVP 96 97`.
    fn read(line: &str) -> Self {
        let mut words = line.split_ascii_whitespace();
        let kind = words.next().unwrap_or_default().to_owned();
        let _port = words.next();
        let profile = words.next().unwrap_or_default();
        Self {
            kind,
            plain_rtp: ["RTP/AVP", "RTP/AVPF", "RTP/AVP/TCP", "RTP/AVP/UDP"].contains(&profile),
            control: None,
            formats: words
                .filter_map(|word| word.parse().ok())
                .filter(|payload_type| *payload_type < 128)
                .take(MAX_FORMATS)
                .map(Encoding::of_type)
                .collect(),
        }
    }

    /// The payload type at the front of an attribute's value, and what stands behind it.
    fn format<'a>(&mut self, value: &'a str) -> Option<(&mut Encoding, &'a str)> {
        let (number, rest) = value.split_once([' ', '\t'])?;
        let number: u8 = number.parse().ok()?;
        let encoding = self.formats.iter_mut().find(|known| known.payload_type == number)?;
        Some((encoding, rest.trim()))
    }
}

impl Encoding {
    /// What RFC 3551 section 6 assigns, of the types that cameras send without an `rtpmap`.
    fn of_type(payload_type: u8) -> Self {
        let (name, clock_rate, channels) = match payload_type {
            0 => ("PCMU", 8_000, Some(1)),
            8 => ("PCMA", 8_000, Some(1)),
            14 => ("MPA", 90_000, None),
            26 => ("JPEG", 90_000, None),
            _ => ("", 0, None),
        };
        Self {
            payload_type,
            name: name.to_owned(),
            clock_rate,
            channels,
            fmtp: String::new(),
        }
    }
}

/// Where a track or the session is controlled: `control` relative to `base` (RFC 2326 appendix C.1.1).
///
/// Relative ones are appended, not resolved as RFC 3986 has it: bases with a query
/// (`…/realmonitor?channel=1`) have their tracks behind the query, and bases without a closing slash
/// mean a folder all the same. `None` where it could not stand in a request.
pub(super) fn control_url(base: &str, control: Option<&str>) -> Option<String> {
    let url = match control.unwrap_or_default() {
        "" | "*" => base.to_owned(),
        absolute if starts_with_scheme(absolute) => absolute.to_owned(),
        relative if base.ends_with('/') => format!("{base}{}", relative.trim_start_matches('/')),
        relative => format!("{base}/{}", relative.trim_start_matches('/')),
    };
    url.bytes().all(|byte| byte.is_ascii_graphic()).then_some(url)
}

fn starts_with_scheme(url: &str) -> bool {
    url.get(..7)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("rtsp://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_formats_and_controls_are_read_as_cameras_write_them() {
        let text = "v=0\r\na=control:*\r\nb=AS:500\nm=video 0 RTP/AVP 96\r\na=control:trackID=0\r\n\
            a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; x=y\r\n\
            m=audio 0 RTP/AVP 0 97\na=rtpmap:97 mpeg4-generic/48000/2\n\
            m=application 0 RTP/SAVP 107\r\nrubbish\r\na=fmtp\r\na=rtpmap:107\r\n";
        let description = Description::read(text.as_bytes());
        assert_eq!(description.control.as_deref(), Some("*"));
        let [video, audio, data] = &description.media[..] else {
            panic!("{description:?}");
        };
        assert_eq!(video.control.as_deref(), Some("trackID=0"));
        assert_eq!(video.formats[0].fmtp, "packetization-mode=1; x=y");
        assert_eq!(
            (audio.formats[0].name.as_str(), audio.formats[0].clock_rate),
            ("PCMU", 8000)
        );
        assert_eq!(audio.formats[1].channels, Some(2));
        assert!(audio.plain_rtp && !data.plain_rtp);
    }

    #[test]
    fn any_bytes_are_read_within_the_limits() {
        let many = "m=video 0 RTP/AVP 1 2 3\r\n".repeat(10_000);
        assert_eq!(Description::read(many.as_bytes()).media.len(), MAX_MEDIA);
        let wide = format!("m=audio 0 RTP/AVP{}", " 5".repeat(100_000));
        assert_eq!(Description::read(wide.as_bytes()).media[0].formats.len(), MAX_FORMATS);
        for rubbish in [
            "",
            "=",
            "m=",
            "m=\r\na=rtpmap: /",
            "a=fmtp:999 x",
            "m=a b c -1 256 128\na=rtpmap:96 /",
        ] {
            Description::read(rubbish.as_bytes());
        }
        Description::read(&[0xff; 1000]);
    }

    #[test]
    fn controls_are_put_behind_the_base_query_and_all() {
        let url = |base, control| control_url(base, control);
        assert_eq!(url("rtsp://a/b/", Some("track1")).unwrap(), "rtsp://a/b/track1");
        assert_eq!(url("rtsp://a/b", Some("/track1")).unwrap(), "rtsp://a/b/track1");
        assert_eq!(
            url("rtsp://a/b?c=1&d", Some("trackID=0")).unwrap(),
            "rtsp://a/b?c=1&d/trackID=0"
        );
        assert_eq!(url("rtsp://a/b", Some("RTSP://c/d")).unwrap(), "RTSP://c/d");
        assert_eq!(url("rtsp://a/b", Some("*")).unwrap(), "rtsp://a/b");
        assert_eq!(url("rtsp://a/b", None).unwrap(), "rtsp://a/b");
        assert_eq!(url("rtsp://a/b", Some("a b")), None);
        assert_eq!(url("rtsp://a/b", Some("é")), None);
    }
}
