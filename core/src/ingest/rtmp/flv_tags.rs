//! Gets the bodies of audio and video messages (Adobe FLV specification 10.1, annex E.4).
//! Gives what is in them: a codec header, a sample, or nothing that is recorded.

use bytes::{Buf, Bytes};

use super::reader::Reader;

/// What an audio message holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AudioTag {
    /// An AudioSpecificConfig.
    AacHeader(Bytes),
    /// One raw AAC frame.
    Aac(Bytes),
    /// One or several MP3 frames.
    Mp3(Bytes),
    /// A codec that is not taken, by its name.
    Unsupported(String),
    /// Nothing.
    Empty,
}

/// What a video message holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum VideoTag {
    /// An AVCDecoderConfigurationRecord.
    AvcHeader(Bytes),
    /// One access unit of length-prefixed NAL units.
    Avc {
        key: bool,
        /// Presentation minus decoding time, in milliseconds, from a signed 24-bit field.
        composition_ms: i32,
        data: Bytes,
    },
    /// A codec that is not taken, by its name.
    Unsupported(String),
    /// Nothing: an end of sequence, an info frame, an empty body.
    Empty,
}

/// Reads the body of an audio message (E.4.2).
pub(super) fn audio(mut body: Bytes) -> AudioTag {
    const AAC_SEQUENCE_HEADER: u8 = 0;
    let Some(&first) = body.first() else {
        return AudioTag::Empty;
    };
    body.advance(1);
    match first >> 4 {
        10 if body.len() < 2 => AudioTag::Empty,
        10 if body.get_u8() == AAC_SEQUENCE_HEADER => AudioTag::AacHeader(body),
        10 => AudioTag::Aac(body),
        2 | 14 if body.is_empty() => AudioTag::Empty,
        2 | 14 => AudioTag::Mp3(body),
        9 => AudioTag::Unsupported(fourcc(&body)),
        format => AudioTag::Unsupported(audio_name(format).to_owned()),
    }
}

/// Reads the body of a video message (E.4.3).
pub(super) fn video(mut body: Bytes) -> VideoTag {
    /// Enhanced RTMP: the codec is a FourCC behind the first byte.
    const ENHANCED: u8 = 0x80;
    const KEY_FRAME: u8 = 1;
    const INFO_FRAME: u8 = 5;
    const AVC: u8 = 7;
    const AVC_SEQUENCE_HEADER: u8 = 0;
    const AVC_NALU: u8 = 1;
    const AVC_HEADER_BYTES: usize = 5;

    let Some(&first) = body.first() else {
        return VideoTag::Empty;
    };
    let (frame_type, codec) = (first >> 4, first & 0x0F);
    if first & ENHANCED != 0 {
        body.advance(1);
        return VideoTag::Unsupported(fourcc(&body));
    }
    if frame_type == INFO_FRAME {
        return VideoTag::Empty;
    }
    if codec != AVC {
        return VideoTag::Unsupported(video_name(codec).to_owned());
    }
    let mut reader = Reader::new(&body);
    let (Some(_), Some(packet_type), Some(composition)) = (reader.u8(), reader.u8(), reader.u24()) else {
        return VideoTag::Empty;
    };
    if reader.remaining() == 0 {
        return VideoTag::Empty;
    }
    body.advance(AVC_HEADER_BYTES);
    match packet_type {
        AVC_SEQUENCE_HEADER => VideoTag::AvcHeader(body),
        AVC_NALU => VideoTag::Avc {
            key: frame_type == KEY_FRAME,
            // Shifted up and down again, the sign of 24 bits becomes the sign of 32.
            composition_ms: ((composition << 8) as i32) >> 8,
            data: body,
        },
        _ => VideoTag::Empty,
    }
}

/// The FourCC of an enhanced header, printable.
fn fourcc(body: &[u8]) -> String {
    let code = body.get(..body.len().min(4)).unwrap_or_default();
    format!("FourCC {}", code.escape_ascii())
}

fn audio_name(format: u8) -> &'static str {
    match format {
        0 | 3 => "linear PCM",
        1 => "ADPCM",
        4..=6 => "Nellymoser",
        7 => "G.711 A-law",
        8 => "G.711 mu-law",
        11 => "Speex",
        _ => "an unknown audio codec",
    }
}

fn video_name(codec: u8) -> &'static str {
    match codec {
        2 => "Sorenson H.263",
        3 | 6 => "screen video",
        4 | 5 => "On2 VP6",
        8 => "H.263",
        9 => "MPEG-4 part 2",
        12 => "HEVC without a FourCC",
        _ => "an unknown video codec",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(body: &'static [u8]) -> Bytes {
        Bytes::from_static(body)
    }

    #[test]
    fn composition_times_are_signed() {
        let composition = |body| match video(bytes(body)) {
            VideoTag::Avc { composition_ms, .. } => composition_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(composition(&[0x27, 1, 0, 0, 80, 9]), 80);
        assert_eq!(composition(&[0x27, 1, 0xFF, 0xFF, 0xD8, 9]), -40);
        assert_eq!(composition(&[0x27, 1, 0x80, 0, 0, 9]), -(1 << 23));
        assert_eq!(composition(&[0x27, 1, 0x7F, 0xFF, 0xFF, 9]), (1 << 23) - 1);
    }

    #[test]
    fn only_frame_type_1_is_a_key_frame() {
        for (first, expected) in [(0x17, true), (0x27, false), (0x37, false), (0x47, false)] {
            let VideoTag::Avc { key, .. } = video(Bytes::copy_from_slice(&[first, 1, 0, 0, 0, 9])) else {
                panic!("no sample");
            };
            assert_eq!(key, expected);
        }
    }

    #[test]
    fn empty_bodies_ends_of_sequence_and_info_frames_give_nothing() {
        for body in [
            &[][..],
            &[0x17],
            &[0x17, 1, 0, 0],
            &[0x17, 1, 0, 0, 0],
            &[0x17, 2, 0, 0, 0, 1],
            &[0x57, 0],
        ] {
            assert_eq!(video(Bytes::copy_from_slice(body)), VideoTag::Empty, "{body:?}");
        }
        for body in [&[][..], &[0xAF], &[0xAF, 0], &[0xAF, 1], &[0x2F], &[0xEF]] {
            assert_eq!(audio(Bytes::copy_from_slice(body)), AudioTag::Empty, "{body:?}");
        }
    }

    #[test]
    fn codecs_that_are_not_taken_have_a_name() {
        assert_eq!(
            video(bytes(b"\x90hvc1xyz")),
            VideoTag::Unsupported("FourCC hvc1".into())
        );
        assert_eq!(
            video(bytes(&[0x80, 0, 10])),
            VideoTag::Unsupported("FourCC \\x00\\n".into())
        );
        assert_eq!(video(bytes(&[0x24, 1])), VideoTag::Unsupported("On2 VP6".into()));
        assert_eq!(audio(bytes(b"\x91Opus")), AudioTag::Unsupported("FourCC Opus".into()));
        assert_eq!(audio(bytes(&[0xB2, 1])), AudioTag::Unsupported("Speex".into()));
    }

    #[test]
    fn mp3_is_taken_at_8_khz_too() {
        for first in [0x2F, 0x22, 0xE2] {
            let tag = audio(Bytes::copy_from_slice(&[first, 0xFF, 0xFB]));
            assert_eq!(tag, AudioTag::Mp3(bytes(&[0xFF, 0xFB])));
        }
    }
}
