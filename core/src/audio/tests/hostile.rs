//! Gets packets that are broken in every way.
//! Gives proof that they are counted and nothing else happens: no panic, no end, no growth.

use super::*;
use crate::media::ErrorKind;

/// A small generator, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most.max(1)
    }
}

fn tracks(seconds: f64) -> Vec<Track> {
    let noise = Noise::new();
    let mono = noise.pcm(48_000, seconds);
    let stereo = doubled(&mono);
    let mut tracks = vec![
        opus(&stereo, 2, &[]),
        opus(
            &mono,
            1,
            &["-application", "voip", "-b:a", "16k", "-fec", "1", "-packet_loss", "20"],
        ),
        g711(&noise.pcm(8_000, seconds), 8_000, 1, G711Law::A),
        mp3(&stereo, 48_000, 2),
        vorbis(&stereo, 48_000, 2),
    ];
    tracks.push(aac_track(&stereo, 48_000, 2));
    tracks
}

fn broken(random: &mut Random, data: &Bytes) -> Bytes {
    let mut bytes = data.to_vec();
    match random.below(6) {
        0 => bytes.truncate(random.below(bytes.len() + 1)),
        1 => bytes.extend((0..random.below(300)).map(|i| i as u8)),
        2 => bytes = (0..random.below(1500)).map(|_| random.below(256) as u8).collect(),
        3 => bytes.insert(random.below(bytes.len() + 1), random.below(256) as u8),
        _ => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes.into()
}

#[test]
fn broken_packets_are_counted_and_the_sound_after_them_is_in_place() {
    let noise = Noise::new();
    for track in tracks(18.0) {
        let name = track.config.codec.name();
        let rate = i64::from(track.config.timescale.get());
        let mut transcoder = Transcoder::new(&track.config, &aac(5, 44_100, 2)).unwrap();
        let mut random = Random(5);
        let mut out = Vec::new();
        // Up to the seventh second every third packet is broken.
        for mut sample in track.samples() {
            if (rate..7 * rate).contains(&sample.pts.ticks()) && random.below(3) == 0 {
                sample.data = broken(&mut random, &sample.data);
            }
            transcoder.sample(&sample, &mut out).unwrap();
        }
        transcoder.finish(&mut out).unwrap();
        println!("{name}: {:?}", transcoder.counters());
        if name != "pcma" {
            assert!(transcoder.counters().decode_errors > 0, "{name}");
        }
        assert!(
            transcoder.counters().decode_errors < transcoder.counters().samples_in / 2,
            "{name}"
        );
        for pair in out.windows(2) {
            assert_eq!(pair[1].pts.ticks() - pair[0].pts.ticks(), 1024, "{name}");
        }
        let output = Output::decode(out, transcoder.config().clone());
        let (lag, alike) = output.lag(&|time| noise.at(time), 17.8, 0);
        assert!(lag.abs() < 0.005 && alike > 0.85, "{name}: {lag} {alike}");
        assert!((17.99..18.3).contains(&output.end()), "{name}: {}", output.end());
    }
}

#[test]
fn nothing_but_rubbish_makes_no_sound_and_no_error() {
    let mut random = Random(11);
    for track in tracks(1.0) {
        let mut transcoder = Transcoder::new(&track.config, &target(TargetCodec::Opus, 48_000, 2)).unwrap();
        let mut out = Vec::new();
        for index in 0..400 {
            let data = broken(&mut random, &Bytes::from(vec![0x55; 40]));
            transcoder
                .sample(&sample(Timestamp::from_ms(index * 20), data), &mut out)
                .unwrap();
        }
        transcoder
            .sample(
                &sample(
                    Timestamp::from_ms(9000),
                    vec![0; super::super::MAX_PACKET_BYTES + 1].into(),
                ),
                &mut out,
            )
            .unwrap();
        assert!(transcoder.counters().decode_errors > 0);
        transcoder.finish(&mut out).unwrap();
    }
}

#[test]
fn broken_headers_are_refused_or_used_but_never_end_the_process() {
    let mut random = Random(3);
    for track in tracks(1.0) {
        for _ in 0..60 {
            let mut config = track.config.clone();
            match &mut config.codec {
                CodecConfig::Vorbis(vorbis) => {
                    let which = random.below(3);
                    vorbis.headers[which] = broken(&mut random, &vorbis.headers[which]);
                }
                CodecConfig::Aac(aac) => aac.asc = broken(&mut random, &aac.asc),
                CodecConfig::Opus(opus) => {
                    let mapping: Vec<u8> = (0..3 + random.below(9)).map(|_| random.below(4) as u8).collect();
                    opus.channels = mapping.len() as u8 - 3;
                    opus.mapping = Some(mapping.into());
                }
                _ => {}
            }
            let Ok(mut transcoder) = Transcoder::new(&config, &target(TargetCodec::Opus, 48_000, 1)) else {
                continue;
            };
            let mut out = Vec::new();
            for sample in track.samples().iter().take(8) {
                transcoder.sample(sample, &mut out).unwrap();
            }
            transcoder.finish(&mut out).unwrap();
        }
    }
}

#[test]
fn times_at_the_ends_of_64_bits_are_errors_or_jumps() {
    let track = tracks(1.0).remove(0);
    let mut transcoder = Transcoder::new(&track.config, &aac(5, 44_100, 2)).unwrap();
    let mut out = Vec::new();
    for ticks in [0, i64::MAX, i64::MIN, i64::MAX / 20_000, i64::MIN / 20_000, 960] {
        for data in [&track.packets[0].1, &track.packets[1].1] {
            let sample = sample(Timestamp::new(ticks, track.config.timescale), data.clone());
            if let Err(error) = transcoder.sample(&sample, &mut out) {
                assert_eq!(error.kind(), ErrorKind::LimitExceeded);
            }
        }
    }
    transcoder.finish(&mut out).unwrap();
    assert!(out.len() < 100, "{}", out.len());
}

#[test]
fn settings_out_of_range_are_refused_by_kind() {
    let from = tracks(1.0).remove(2).config;
    let kind = |from: &TrackConfig, target: &Target| Transcoder::new(from, target).unwrap_err().kind();
    assert_eq!(kind(&from, &aac(6, 44_100, 2)), ErrorKind::InvalidArgument);
    assert_eq!(kind(&from, &aac(5, 44_100, 3)), ErrorKind::InvalidArgument);
    assert_eq!(kind(&from, &aac(5, 0, 2)), ErrorKind::InvalidArgument);
    assert_eq!(kind(&from, &aac(5, 44_000, 2)), ErrorKind::Unsupported);
    let mut silent = from.clone();
    silent.codec = CodecConfig::G711(G711Config {
        law: G711Law::A,
        sample_rate: 8_000,
        channels: 0,
    });
    assert_eq!(kind(&silent, &aac(5, 44_100, 2)), ErrorKind::InvalidArgument);
    silent.codec = CodecConfig::Vp8(crate::media::Vp8Config { width: 2, height: 2 });
    assert_eq!(kind(&silent, &aac(5, 44_100, 2)), ErrorKind::InvalidArgument);
    let movable = |_: &dyn Send| {};
    movable(&Transcoder::new(&from, &aac(5, 44_100, 2)).unwrap());
}
