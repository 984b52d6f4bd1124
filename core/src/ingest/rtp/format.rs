//! Gets `rtpmap` and `fmtp` lines of session descriptions.
//! Gives the payload format of a track, with what a depacketizer has to know ahead.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use crate::media::{Error, ErrorKind, Result, TrackKind};

/// Parameter sets from a session description taken of each track: an encoder has two or three.
const MAX_SETS: usize = 32;

/// Longest `fmtp` line in bytes: parameter sets of a few hundred bytes in BASE64, with room.
const MAX_FMTP_BYTES: usize = 64 * 1024;

/// Cameras leave the padding out as often as not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The payload format of an RTP stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// H.264 (RFC 6184), packetization modes 0 and 1.
    H264 {
        /// Parameter sets told ahead (`sprop-parameter-sets`), NAL header included; may be empty.
        sets: Vec<Bytes>,
    },
    /// H.265 (RFC 7798).
    H265 {
        /// Parameter sets told ahead (`sprop-vps`, `sprop-sps`, `sprop-pps`), likewise.
        sets: Vec<Bytes>,
        /// Whether payloads carry decoding order numbers (`sprop-max-don-diff` above 0).
        decoding_order: bool,
    },
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 (RFC 9628).
    Vp9,
    /// AV1 (RTP Payload Format For AV1, Alliance for Open Media).
    Av1,
    /// Opus (RFC 7587).
    Opus {
        /// Channels that a decoder puts out; 2 unless the description says otherwise.
        channels: u8,
    },
    /// G.711 mu-law (RFC 3551 section 4.5.14).
    Pcmu {
        /// Sample rate in Hz.
        rate: u32,
        /// Channels.
        channels: u8,
    },
    /// G.711 A-law (RFC 3551 section 4.5.14).
    Pcma {
        /// Sample rate in Hz.
        rate: u32,
        /// Channels.
        channels: u8,
    },
    /// AAC by RFC 3640, mode AAC-hbr, without interleaving. AAC-lbr differs in its lengths only.
    AacHbr {
        /// The AudioSpecificConfig (`config`).
        asc: Bytes,
        /// Bits of a frame's size (`sizelength`).
        size_length: u8,
        /// Bits of the first index (`indexlength`).
        index_length: u8,
        /// Bits of the other indices (`indexdeltalength`).
        index_delta_length: u8,
    },
    /// AAC as LATM (RFC 6416 section 6), configuration out of band (`cpresent=0`).
    AacLatm {
        /// The AudioSpecificConfig out of the StreamMuxConfig.
        asc: Bytes,
    },
}

impl Format {
    /// The format that an `rtpmap` (`encoding_name/clock_rate/channels`) and an `fmtp` tell. `fmtp` is
    /// what stands behind the payload type, `a=1;b=2`; empty where there is none.
    ///
    /// Parameter sets that cannot be read are left out: most streams carry them in band as well.
    ///
    /// # Errors
    /// `Unsupported` where livereel does not record the format or the mode of it, `Malformed` where a
    /// parameter that is needed is missing or broken, `LimitExceeded` where `fmtp` is too long.
    pub fn from_fmtp(encoding_name: &str, clock_rate: u32, channels: Option<u8>, fmtp: &str) -> Result<Self> {
        if fmtp.len() > MAX_FMTP_BYTES {
            return Err(Error::new(ErrorKind::LimitExceeded, READ, "the fmtp line is too long")
                .with("length_bytes", fmtp.len())
                .with("most_bytes", MAX_FMTP_BYTES));
        }
        let fmtp = Fmtp(fmtp);
        let channels = channels.filter(|channels| *channels > 0);
        let name = encoding_name.to_ascii_uppercase();
        let video_clock = || match clock_rate {
            90_000 => Ok(()),
            _ => Err(malformed("the clock rate of video is not 90000").with("clock_rate", clock_rate)),
        };
        Ok(match name.as_str() {
            "H264" => {
                video_clock()?;
                if let Some(mode @ 2..) = fmtp.number("packetization-mode")? {
                    return Err(unsupported("interleaved H.264").with("packetization-mode", mode));
                }
                Self::H264 {
                    sets: fmtp.sets(&["sprop-parameter-sets"]),
                }
            }
            "H265" | "HEVC" => {
                video_clock()?;
                Self::H265 {
                    sets: fmtp.sets(&["sprop-vps", "sprop-sps", "sprop-pps"]),
                    decoding_order: fmtp.number("sprop-max-don-diff")?.unwrap_or(0) > 0,
                }
            }
            "VP8" | "VP9" | "AV1" => {
                video_clock()?;
                match name.as_str() {
                    "VP8" => Self::Vp8,
                    "VP9" => Self::Vp9,
                    _ => Self::Av1,
                }
            }
            "OPUS" => Self::Opus {
                channels: match channels.unwrap_or(2) {
                    channels @ 1..=2 => channels,
                    more => return Err(unsupported("Opus of more than two channels").with("channels", more)),
                },
            },
            "PCMU" => Self::Pcmu {
                rate: nonzero(clock_rate)?,
                channels: channels.unwrap_or(1),
            },
            "PCMA" => Self::Pcma {
                rate: nonzero(clock_rate)?,
                channels: channels.unwrap_or(1),
            },
            "MPEG4-GENERIC" => Self::aac(&fmtp)?,
            "MP4A-LATM" => {
                if fmtp.number("cpresent")? != Some(0) {
                    return Err(unsupported("LATM with its configuration in band"));
                }
                let config = fmtp.hex("config")?;
                Self::AacLatm {
                    asc: super::depacket::latm::audio_specific_config(&config)?,
                }
            }
            _ => {
                let shown: String = encoding_name.chars().take(64).collect();
                return Err(
                    Error::new(ErrorKind::Unsupported, READ, "the encoding is not known").with("encoding", shown)
                );
            }
        })
    }

    /// RFC 3640 section 4.1; the lengths default to 0 there, and AAC-hbr fixes them (section 3.3.6).
    fn aac(fmtp: &Fmtp<'_>) -> Result<Self> {
        let mode = fmtp.get("mode").unwrap_or("AAC-hbr");
        let (size, index) = match mode.to_ascii_lowercase().as_str() {
            "aac-hbr" => (13, 3),
            "aac-lbr" => (6, 2),
            _ => return Err(unsupported("a mode of RFC 3640 that is no AAC").with("mode", mode)),
        };
        let length = |name, default| {
            let bits = fmtp.number(name)?.unwrap_or(default);
            u8::try_from(bits)
                .ok()
                .filter(|bits| *bits <= 32)
                .ok_or_else(|| malformed("a field of an AU header is longer than 32 bits").with(name, bits))
        };
        // Auxiliary fields and time stamps of frames would stand between the fields read here.
        for field in [
            "ctsdeltalength",
            "dtsdeltalength",
            "randomaccessindication",
            "streamstateindication",
            "auxiliarydatasizelength",
        ] {
            if let Some(bits @ 1..) = fmtp.number(field)? {
                return Err(unsupported("an AU header with fields that AAC has no need of").with("bits", bits));
            }
        }
        Ok(Self::AacHbr {
            asc: fmtp.hex("config")?,
            size_length: length("sizelength", size)?,
            index_length: length("indexlength", index)?,
            index_delta_length: length("indexdeltalength", index)?,
        })
    }

    /// Whether it is pictures or sound.
    pub fn kind(&self) -> TrackKind {
        match self {
            Self::H264 { .. } | Self::H265 { .. } | Self::Vp8 | Self::Vp9 | Self::Av1 => TrackKind::Video,
            Self::Opus { .. } | Self::Pcmu { .. } | Self::Pcma { .. } | Self::AacHbr { .. } | Self::AacLatm { .. } => {
                TrackKind::Audio
            }
        }
    }
}

const READ: &str = "read an RTP payload format";

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, READ, message)
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, READ, format!("{what} is not served"))
}

fn nonzero(clock_rate: u32) -> Result<u32> {
    match clock_rate {
        0 => Err(malformed("the clock rate is 0")),
        rate => Ok(rate),
    }
}

/// `name=value` pairs between semicolons; names in any case (RFC 4855 section 3).
struct Fmtp<'a>(&'a str);

impl<'a> Fmtp<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .split(';')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().trim_matches('"'))
    }

    fn number(&self, name: &'static str) -> Result<Option<u32>> {
        self.get(name)
            .filter(|text| !text.is_empty())
            .map(|text| {
                text.parse()
                    .map_err(|_| malformed("a parameter is no number").with("parameter", name))
            })
            .transpose()
    }

    fn hex(&self, name: &'static str) -> Result<Bytes> {
        let text = self
            .get(name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| malformed("a parameter is missing").with("parameter", name))?;
        hex::decode(text)
            .map(Bytes::from)
            .map_err(|_| malformed("a parameter is no hexadecimal").with("parameter", name))
    }

    /// Parameter sets in BASE64 with commas between them (RFC 6184 section 8.1, RFC 7798 section 7.1).
    fn sets(&self, names: &[&str]) -> Vec<Bytes> {
        names
            .iter()
            .filter_map(|name| self.get(name))
            .flat_map(|list| list.split(','))
            .filter_map(|set| BASE64.decode(set.trim()).ok())
            .filter(|set| !set.is_empty())
            .map(Bytes::from)
            .take(MAX_SETS)
            .collect()
    }
}
