//! Sound that is turned into another codec, and what goes wrong with it: the picture is recorded.

use super::*;
use crate::media::{G711Config, G711Law, VorbisConfig};

/// Telephony, which MP4 does not take as it is.
fn telephony() -> TrackConfig {
    TrackConfig {
        id: AUDIO,
        timescale: Timescale::new(8000).unwrap(),
        codec: CodecConfig::G711(G711Config {
            law: G711Law::Mu,
            sample_rate: 8000,
            channels: 1,
        }),
    }
}

/// Pictures and packets of 20 ms from `from` to `to`, in milliseconds of both clocks.
fn send(bench: &mut Bench, from: i64, to: i64, with_sound: bool) {
    for ms in (from..to).step_by(20) {
        if ms % 40 == 0 {
            let number = u32::try_from(ms / 40).unwrap();
            let key = number.is_multiple_of(25);
            bench.unit(Unit::Sample(sample(VIDEO, ms, ms, key, &nal(number, key))));
        }
        if with_sound {
            bench.unit(Unit::Sample(sample(AUDIO, ms, ms, true, &[0x55; 160])));
        }
        bench.work_until(ms);
    }
}

fn begin() -> Bench {
    let mut bench = Bench::new(&Asked::default());
    bench.unit(Unit::Track(Arc::new(video())));
    bench.unit(Unit::Track(Arc::new(telephony())));
    send(&mut bench, 0, 2000, true);
    bench
}

/// The one file, which no failure ended, and its track of `kind`.
fn whole(bench: &mut Bench, kind: TrackKind) -> crate::recording::report::TrackBalance {
    let files = bench.stop();
    let others = bench.others();
    assert!(!others.iter().any(|report| report.starts_with("Failed")), "{others:?}");
    assert_eq!((files.len(), files[0].reason), (1, PartEnd::SessionEnded));
    for track in &files[0].tracks {
        assert_eq!(
            track.samples_in,
            track.samples_written + track.dropped.values().sum::<u64>()
        );
    }
    files[0].tracks.iter().find(|track| track.kind == kind).unwrap().clone()
}

#[test]
fn a_silence_longer_than_is_filled_leaves_the_picture_alone() {
    let mut bench = begin();
    let back = 20 * 60 * 1000;
    bench.work_until(back);
    bench.unit(Unit::Reconnected);
    send(&mut bench, back, back + 4000, false);
    assert_eq!(whole(&mut bench, TrackKind::Video).samples_written, 50 + 100);
}

#[test]
fn sound_that_stops_is_silent_to_within_a_second_of_the_picture() {
    let mut bench = begin();
    send(&mut bench, 2000, 12_000, false);
    let sound = whole(&mut bench, TrackKind::Audio);
    let seconds = sound.samples_written as f64 * 1024.0 / 44_100.0;
    assert!((11.0..12.2).contains(&seconds), "{seconds}");
}

#[test]
fn headers_that_no_decoder_takes_cost_their_track_alone() {
    let mut bench = begin();
    let rubbish = VorbisConfig {
        channels: 2,
        sample_rate: 48_000,
        headers: [0, 1, 2].map(|byte| Bytes::from(vec![byte; 30])),
    };
    let broken = TrackConfig {
        codec: CodecConfig::Vorbis(rubbish),
        ..telephony()
    };
    bench.unit(Unit::Track(Arc::new(broken)));
    send(&mut bench, 2000, 4000, true);
    let others = bench.others();
    let told = others.iter().filter(|report| report.contains("codec_not_supported"));
    assert_eq!(told.count(), 1, "{others:?}");
    let mut again = bench;
    assert_eq!(whole(&mut again, TrackKind::Video).samples_written, 100);
}

#[test]
fn sound_that_cannot_be_decoded_is_counted_and_filled() {
    // The frames of this stream are numbers, which no decoder of AAC takes.
    let mut bench = Bench::new(&Asked {
        container: Container::Webm,
        ..Asked::default()
    });
    let mut stream = Stream::new(25);
    stream.announce(&bench);
    for ms in (0..4000).step_by(100) {
        stream.send_until(&bench, ms);
        bench.work_until(ms);
    }
    assert!(whole(&mut bench, TrackKind::Audio).dropped["decode_error"] > 100);
}
