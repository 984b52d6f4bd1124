//! Gets what ffmpeg encodes, as FLV on its standard output.
//! Gives tracks and samples as RTMP ingest would.

use std::collections::HashMap;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::{Buf, Bytes};

use super::track;
use crate::codec::{aac, h264, mp3};
use crate::media::{CodecConfig, Sample, Timestamp, TrackConfig, TrackId};

pub(super) const VIDEO: TrackId = TrackId(1);
pub(super) const AUDIO: TrackId = TrackId(2);

/// What a session of one publisher would give.
pub(super) type Session = (Vec<Arc<TrackConfig>>, Vec<Sample>);

/// Runs ffmpeg with `arguments`, once for all tests, and reads the FLV it writes.
pub(super) fn encoded(arguments: &'static str) -> Session {
    static MADE: LazyLock<Mutex<HashMap<&str, Session>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap();
    made.entry(arguments).or_insert_with(|| encode(arguments)).clone()
}

fn encode(arguments: &str) -> Session {
    let output = Command::new("ffmpeg")
        .args(["-v", "error"])
        .args(arguments.split_whitespace())
        .args(["-f", "flv", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parse(output.stdout.into())
}

fn parse(mut flv: Bytes) -> Session {
    let (mut tracks, mut samples) = (Vec::new(), Vec::new());
    flv.advance(13);
    while flv.remaining() > 15 {
        let kind = flv.get_u8();
        let len = flv.get_uint(3) as usize;
        let low = flv.get_uint(3);
        let dts = (u64::from(flv.get_u8()) << 24 | low) as i64;
        flv.advance(3);
        let mut tag = flv.split_to(len);
        flv.advance(4);
        let (track_id, key, pts) = match kind {
            9 => {
                let frame = tag.get_u8();
                let packet_type = tag.get_u8();
                let offset = tag.get_int(3);
                match packet_type {
                    0 => tracks.push(track(
                        VIDEO.0,
                        CodecConfig::H264(h264::parse_avcc(tag.clone()).unwrap()),
                    )),
                    _ => assert!(packet_type <= 2),
                }
                if packet_type != 1 {
                    continue;
                }
                (VIDEO, frame >> 4 == 1, dts + offset)
            }
            8 => {
                let format = tag.get_u8() >> 4;
                if format == 10 && tag.get_u8() == 0 {
                    tracks.push(track(AUDIO.0, CodecConfig::Aac(aac::parse_asc(tag).unwrap())));
                    continue;
                }
                if format == 2 && !tracks.iter().any(|track| track.id == AUDIO) {
                    tracks.push(track(AUDIO.0, CodecConfig::Mp3(mp3::parse_header(&tag).unwrap())));
                }
                (AUDIO, true, dts)
            }
            _ => continue,
        };
        samples.push(Sample {
            track: track_id,
            pts: Timestamp::from_ms(pts),
            dts: Timestamp::from_ms(dts),
            key,
            data: tag,
        });
    }
    (tracks, samples)
}
