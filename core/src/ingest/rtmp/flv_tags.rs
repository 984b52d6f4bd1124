//! Gets the bodies of audio and video messages (Adobe FLV specification 10.1, annex E.4; Enhanced RTMP v2).
//! Gives what is in them: a codec header, a sample, or nothing that is recorded.

use bytes::{Buf, Bytes};

use super::reader::Reader;

/// The audio codecs that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AudioCodec {
    Aac,
    Mp3,
    Opus,
}

/// The video codecs that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VideoCodec {
    Avc,
    Hevc,
    Av1,
    Vp8,
    Vp9,
}

/// What an audio message holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AudioTag {
    /// A codec header: an AudioSpecificConfig, an OpusHead.
    Header(AudioCodec, Bytes),
    /// One raw AAC frame or Opus packet, one or several MP3 frames.
    Frame(AudioCodec, Bytes),
    /// Tracks beside the first: how many frames of them there are. They are not taken.
    MoreTracks(u64),
    /// A codec that is not taken, by its name.
    Unsupported(String),
    /// Nothing.
    Empty,
}

/// What a video message holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum VideoTag {
    /// A codec configuration record.
    Header(VideoCodec, Bytes),
    /// One access unit: length-prefixed NAL units, OBUs, a frame.
    Frame {
        codec: VideoCodec,
        key: bool,
        /// Presentation minus decoding time, in milliseconds, from a signed 24-bit field.
        composition_ms: i32,
        data: Bytes,
    },
    /// Tracks beside the first: how many frames of them there are. They are not taken.
    MoreTracks(u64),
    /// A codec that is not taken, by its name.
    Unsupported(String),
    /// Nothing: an end of sequence, an info frame, metadata, an empty body.
    Empty,
}

/// FourCCs of the video codecs that are taken; also what the answer to `connect` tells.
pub(super) const VIDEO_FOURCCS: [(&[u8; 4], VideoCodec); 5] = [
    (b"avc1", VideoCodec::Avc),
    (b"hvc1", VideoCodec::Hevc),
    (b"av01", VideoCodec::Av1),
    (b"vp08", VideoCodec::Vp8),
    (b"vp09", VideoCodec::Vp9),
];

/// FourCCs of the audio codecs that are taken.
pub(super) const AUDIO_FOURCCS: [(&[u8; 4], AudioCodec); 3] = [
    (b"mp4a", AudioCodec::Aac),
    (b".mp3", AudioCodec::Mp3),
    (b"Opus", AudioCodec::Opus),
];

/// Packet types of an enhanced header (`VideoPacketType`, `AudioPacketType`).
mod packet_type {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    /// Pictures only: coded frames whose composition time is 0.
    pub(super) const CODED_FRAMES_X: u8 = 3;
    /// Several tracks in one message.
    pub(super) const MULTITRACK: u8 = 5;
    /// As above, of pictures.
    pub(super) const VIDEO_MULTITRACK: u8 = 6;
    /// A modifier stands before the packet type proper.
    pub(super) const MOD_EX: u8 = 7;
}

/// Reads the body of an audio message (E.4.2).
pub(super) fn audio(mut body: Bytes) -> AudioTag {
    const AAC_SEQUENCE_HEADER: u8 = 0;
    const ENHANCED: u8 = 9;
    let Some(&first) = body.first() else {
        return AudioTag::Empty;
    };
    body.advance(1);
    match first >> 4 {
        10 if body.len() < 2 => AudioTag::Empty,
        10 if body.get_u8() == AAC_SEQUENCE_HEADER => AudioTag::Header(AudioCodec::Aac, body),
        10 => AudioTag::Frame(AudioCodec::Aac, body),
        2 | 14 if body.is_empty() => AudioTag::Empty,
        2 | 14 => AudioTag::Frame(AudioCodec::Mp3, body),
        ENHANCED => enhanced_audio(first & 0x0F, body),
        format => AudioTag::Unsupported(audio_name(format).to_owned()),
    }
}

/// Reads what stands behind the first byte of an enhanced audio message.
fn enhanced_audio(first_type: u8, mut body: Bytes) -> AudioTag {
    let Some(kind) = without_modifiers(first_type, &mut body) else {
        return AudioTag::Empty;
    };
    if kind == packet_type::MULTITRACK {
        return frames_of_more(&body, &[packet_type::CODED_FRAMES]).map_or(AudioTag::Empty, AudioTag::MoreTracks);
    }
    let Some((code, codec)) = take_fourcc(&mut body, &AUDIO_FOURCCS) else {
        return AudioTag::Empty;
    };
    let Some(codec) = codec else {
        return AudioTag::Unsupported(code);
    };
    match kind {
        _ if body.is_empty() => AudioTag::Empty,
        // Each frame has its own header.
        packet_type::SEQUENCE_START if codec == AudioCodec::Mp3 => AudioTag::Empty,
        packet_type::SEQUENCE_START => AudioTag::Header(codec, body),
        packet_type::CODED_FRAMES => AudioTag::Frame(codec, body),
        _ => AudioTag::Empty,
    }
}

/// Reads the body of a video message (E.4.3).
pub(super) fn video(mut body: Bytes) -> VideoTag {
    /// Enhanced RTMP: the codec is a FourCC behind the first byte.
    const ENHANCED: u8 = 0x80;
    const KEY_FRAME: u8 = 1;
    /// A command to the player, without a picture.
    const INFO_FRAME: u8 = 5;
    const AVC: u8 = 7;
    /// Not in the specification, but many encoders send it: laid out as AVC is.
    const HEVC: u8 = 12;
    const SEQUENCE_HEADER: u8 = 0;
    const NALU: u8 = 1;
    const HEADER_BYTES: usize = 5;

    let Some(&first) = body.first() else {
        return VideoTag::Empty;
    };
    if first & ENHANCED != 0 {
        body.advance(1);
        let frame_type = first >> 4 & 0x07;
        return match frame_type {
            INFO_FRAME => VideoTag::Empty,
            _ => enhanced_video(first & 0x0F, frame_type == KEY_FRAME, body),
        };
    }
    let (frame_type, codec) = (first >> 4, first & 0x0F);
    if frame_type == INFO_FRAME {
        return VideoTag::Empty;
    }
    let codec = match codec {
        AVC => VideoCodec::Avc,
        HEVC => VideoCodec::Hevc,
        other => return VideoTag::Unsupported(video_name(other).to_owned()),
    };
    let mut reader = Reader::new(&body);
    let (Some(_), Some(packet_type), Some(composition)) = (reader.u8(), reader.u8(), reader.u24()) else {
        return VideoTag::Empty;
    };
    if reader.remaining() == 0 {
        return VideoTag::Empty;
    }
    body.advance(HEADER_BYTES);
    match packet_type {
        SEQUENCE_HEADER => VideoTag::Header(codec, body),
        NALU => VideoTag::Frame {
            codec,
            key: frame_type == KEY_FRAME,
            composition_ms: signed_24(composition),
            data: body,
        },
        _ => VideoTag::Empty,
    }
}

/// Reads what stands behind the first byte of an enhanced video message.
fn enhanced_video(first_type: u8, key: bool, mut body: Bytes) -> VideoTag {
    const COMPOSITION_BYTES: usize = 3;
    let Some(kind) = without_modifiers(first_type, &mut body) else {
        return VideoTag::Empty;
    };
    if kind == packet_type::VIDEO_MULTITRACK {
        let coded = [packet_type::CODED_FRAMES, packet_type::CODED_FRAMES_X];
        return frames_of_more(&body, &coded).map_or(VideoTag::Empty, VideoTag::MoreTracks);
    }
    let Some((code, codec)) = take_fourcc(&mut body, &VIDEO_FOURCCS) else {
        return VideoTag::Empty;
    };
    let Some(codec) = codec else {
        return VideoTag::Unsupported(code);
    };
    let composed = matches!(codec, VideoCodec::Avc | VideoCodec::Hevc) && kind == packet_type::CODED_FRAMES;
    let composition = match composed {
        true => match Reader::new(&body).u24() {
            Some(composition) => {
                body.advance(COMPOSITION_BYTES);
                composition
            }
            None => return VideoTag::Empty,
        },
        false => 0,
    };
    match kind {
        _ if body.is_empty() => VideoTag::Empty,
        packet_type::SEQUENCE_START => VideoTag::Header(codec, body),
        packet_type::CODED_FRAMES | packet_type::CODED_FRAMES_X => VideoTag::Frame {
            codec,
            key,
            composition_ms: signed_24(composition),
            data: body,
        },
        _ => VideoTag::Empty,
    }
}

/// Passes over the modifiers (`ModEx`: fractions of a millisecond and what may come) before a packet
/// type, and gives it; `None` where the message ends within them.
fn without_modifiers(first_type: u8, body: &mut Bytes) -> Option<u8> {
    let mut kind = first_type;
    while kind == packet_type::MOD_EX {
        let mut reader = Reader::new(body);
        let size = match reader.u8()? {
            // 255 stands for a size in 16 bits behind it.
            u8::MAX => usize::from(reader.u16()?) + 1,
            size => usize::from(size) + 1,
        };
        reader.bytes(size)?;
        kind = reader.u8()? & 0x0F;
        let read = body.len() - reader.remaining();
        body.advance(read);
    }
    Some(kind)
}

/// How many frames a multitrack message holds, each of a track of its own; 0 where its packet type is
/// none of `coded`, `None` where it is cut short.
fn frames_of_more(body: &[u8], coded: &[u8]) -> Option<u64> {
    /// `AvMultitrackType`: one track in the message; several, each with its length; and with its FourCC too.
    const ONE_TRACK: u8 = 0;
    const MANY_TRACKS_MANY_CODECS: u8 = 2;
    let mut reader = Reader::new(body);
    let first = reader.u8()?;
    let (layout, kind) = (first >> 4, first & 0x0F);
    if !coded.contains(&kind) {
        return Some(0);
    }
    if layout == ONE_TRACK {
        return Some(1);
    }
    let own_fourcc = layout == MANY_TRACKS_MANY_CODECS;
    if !own_fourcc {
        reader.u32()?;
    }
    let mut frames = 0;
    while reader.remaining() > 0 {
        if own_fourcc {
            reader.u32()?;
        }
        let _track_id = reader.u8()?;
        let length = reader.u24()? as usize;
        reader.bytes(length)?;
        frames += 1;
    }
    Some(frames)
}

/// Takes the FourCC off a body: what it reads as, and the codec where that is taken.
fn take_fourcc<C: Copy>(body: &mut Bytes, known: &[(&[u8; 4], C)]) -> Option<(String, Option<C>)> {
    let code: [u8; 4] = Reader::new(body).array()?;
    body.advance(code.len());
    let codec = known
        .iter()
        .find(|(fourcc, _)| **fourcc == code)
        .map(|(_, codec)| *codec);
    Some((format!("FourCC {}", code.escape_ascii()), codec))
}

/// Shifted up and down again, the sign of 24 bits becomes the sign of 32.
fn signed_24(value: u32) -> i32 {
    ((value << 8) as i32) >> 8
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
            VideoTag::Frame { composition_ms, .. } => composition_ms,
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
            let VideoTag::Frame { key, .. } = video(Bytes::copy_from_slice(&[first, 1, 0, 0, 0, 9])) else {
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
            video(bytes(b"\x90vvc1xyz")),
            VideoTag::Unsupported("FourCC vvc1".into())
        );
        assert_eq!(
            video(bytes(&[0x80, 0, 10, 0, 0])),
            VideoTag::Unsupported("FourCC \\x00\\n\\x00\\x00".into())
        );
        assert_eq!(video(bytes(&[0x24, 1])), VideoTag::Unsupported("On2 VP6".into()));
        assert_eq!(audio(bytes(b"\x91fLaC")), AudioTag::Unsupported("FourCC fLaC".into()));
        assert_eq!(audio(bytes(&[0xB2, 1])), AudioTag::Unsupported("Speex".into()));
    }

    #[test]
    fn frames_of_further_tracks_are_counted_and_their_headers_are_not() {
        for (body, frames) in [
            (&b"\x96\x00hvc1\x01record"[..], 0),
            (b"\xA6\x01hvc1\x01\0\0\x28D", 1),
            (b"\xA6\x03av01\x01D", 1),
            (b"\xA6\x11av01\x01\0\0\x01D\x02\0\0\x02DD", 2),
            (b"\xA6\x23av01\x01\0\0\x01Dvp09\x02\0\0\0hvc1\x03\0\0\x02DD", 3),
            // Behind a modifier.
            (b"\xA7\x02\0\0\x07\x06\x03av01\x01D", 1),
        ] {
            assert_eq!(video(bytes(body)), VideoTag::MoreTracks(frames), "{body:?}");
        }
        assert_eq!(audio(bytes(b"\x95\x01Opus\x01D")), AudioTag::MoreTracks(1));
        assert_eq!(audio(bytes(b"\x95\x00Opus\x01H")), AudioTag::MoreTracks(0));
        for cut_short in [
            &b"\xA6"[..],
            b"\xA6\x11av0",
            b"\xA6\x11av01\x01\0\0\x02D",
            b"\xA6\x21av01\x01\0\0",
        ] {
            assert_eq!(video(bytes(cut_short)), VideoTag::Empty, "{cut_short:?}");
        }
    }

    #[test]
    fn enhanced_headers_frames_and_modifiers_are_read() {
        assert_eq!(
            video(bytes(b"\x90hvc1R")),
            VideoTag::Header(VideoCodec::Hevc, bytes(b"R"))
        );
        let frame = |codec, key, composition_ms| VideoTag::Frame {
            codec,
            key,
            composition_ms,
            data: bytes(b"D"),
        };
        assert_eq!(video(bytes(b"\x91hvc1\0\0\x50D")), frame(VideoCodec::Hevc, true, 80));
        assert_eq!(
            video(bytes(b"\xA1avc1\xFF\xFF\xD8D")),
            frame(VideoCodec::Avc, false, -40)
        );
        assert_eq!(video(bytes(b"\xA3hvc1D")), frame(VideoCodec::Hevc, false, 0));
        assert_eq!(video(bytes(b"\x91av01D")), frame(VideoCodec::Av1, true, 0));
        assert_eq!(video(bytes(b"\xA1vp09D")), frame(VideoCodec::Vp9, false, 0));
        // A modifier of 3 bytes (a fraction of a millisecond), then one whose size takes 16 bits.
        assert_eq!(
            video(bytes(b"\x97\x02\0\0\x07\x01av01D")),
            frame(VideoCodec::Av1, true, 0)
        );
        let mut long = b"\x97\xFF\x00\xFF".to_vec();
        long.extend([0; 256]);
        long.extend(b"\x01av01D");
        assert_eq!(video(long.into()), frame(VideoCodec::Av1, true, 0));
        for nothing in [
            &b"\x92hvc1"[..],
            b"\x94hvc1M",
            b"\x91hvc1\0\0",
            b"\x91hvc1\0\0\0",
            b"\xD0\x00",
            b"\x97",
            b"\x97\x05\0",
            b"\x97\x00\0",
            b"\x91hv",
        ] {
            assert_eq!(video(bytes(nothing)), VideoTag::Empty, "{nothing:?}");
        }
        assert_eq!(
            audio(bytes(b"\x90OpusH")),
            AudioTag::Header(AudioCodec::Opus, bytes(b"H"))
        );
        assert_eq!(
            audio(bytes(b"\x91OpusD")),
            AudioTag::Frame(AudioCodec::Opus, bytes(b"D"))
        );
        assert_eq!(
            audio(bytes(b"\x91mp4aD")),
            AudioTag::Frame(AudioCodec::Aac, bytes(b"D"))
        );
        assert_eq!(
            audio(bytes(b"\x91.mp3D")),
            AudioTag::Frame(AudioCodec::Mp3, bytes(b"D"))
        );
        assert_eq!(audio(bytes(b"\x92Opus")), AudioTag::Empty);
    }

    #[test]
    fn hevc_without_a_fourcc_is_laid_out_as_avc() {
        assert_eq!(
            video(bytes(&[0x1C, 0, 0, 0, 0, 9])),
            VideoTag::Header(VideoCodec::Hevc, bytes(&[9]))
        );
        let VideoTag::Frame {
            codec, composition_ms, ..
        } = video(bytes(&[0x2C, 1, 0, 0, 40, 9]))
        else {
            panic!("no sample");
        };
        assert_eq!((codec, composition_ms), (VideoCodec::Hevc, 40));
    }

    #[test]
    fn mp3_is_taken_at_8_khz_too() {
        for first in [0x2F, 0x22, 0xE2] {
            let tag = audio(Bytes::copy_from_slice(&[first, 0xFF, 0xFB]));
            assert_eq!(tag, AudioTag::Frame(AudioCodec::Mp3, bytes(&[0xFF, 0xFB])));
        }
    }
}
