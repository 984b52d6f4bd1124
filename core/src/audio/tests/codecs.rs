//! Gets each codec.
//! Gives proof that each comes out as it went in: in time, alike, whole, from beginning to end.

use super::*;

const TIMES: [f64; 4] = [0.05, 0.7, 1.9, 3.8];

fn stereo(seconds: f64, rate: u32) -> Vec<f32> {
    doubled(&Noise::new().pcm(rate, seconds))
}

fn assert_equal_sound(track: &Track, target: &Target, least_alike: f64) {
    let noise = Noise::new();
    let signal = |time: f64| noise.at(time);
    let output = transcode(track, target);
    assert_eq!(output.config.id, TRACK);
    assert_eq!(output.config.timescale.get(), output.rate);
    output.assert_follows(&signal, &TIMES, 0.001, least_alike);
    for (index, loudness) in output.loudness(0.06, 3.9).iter().enumerate() {
        assert!(*loudness > 0.04, "a drop-out {index} blocks in: {loudness}");
    }
    // All that went in came out; what the encoder fills up is less than a frame and its lookahead.
    assert!((4.0..4.2).contains(&output.end()), "{}", output.end());
    let begin = output.samples[0].pts.ticks() as f64 / f64::from(output.rate);
    assert!((-0.1..0.0).contains(&begin), "{begin}");
}

#[test]
fn opus_comes_out_as_aac_in_step_at_both_rates_and_channel_counts() {
    let mono = opus(&Noise::new().pcm(48_000, 4.0), 1, &[]);
    let stereo = opus(&stereo(4.0, 48_000), 2, &["-b:a", "128k"]);
    for rate in [44_100, 48_000] {
        for channels in [1, 2] {
            assert_equal_sound(&mono, &aac(5, rate, channels), 0.97);
            assert_equal_sound(&stereo, &aac(5, rate, channels), 0.97);
        }
    }
}

#[test]
fn g711_at_8_khz_comes_out_as_aac_stereo_at_44_1_khz() {
    for law in [G711Law::A, G711Law::Mu] {
        let track = g711(&Noise::new().pcm(8_000, 4.0), 8_000, 1, law);
        assert_equal_sound(&track, &aac(5, 44_100, 2), 0.97);
    }
}

#[test]
fn mp3_comes_out_as_aac() {
    for (rate, channels) in [(44_100, 2), (48_000, 2)] {
        let track = mp3(&stereo(4.0, rate), rate, channels);
        assert_equal_sound(&track, &aac(5, 44_100, 2), 0.97);
    }
}

#[test]
fn vorbis_comes_out_as_aac() {
    let track = vorbis(&stereo(4.0, 48_000), 48_000, 2);
    assert_equal_sound(&track, &aac(5, 44_100, 2), 0.97);
}

#[test]
fn aac_comes_out_as_opus_and_as_vorbis() {
    let track = aac_track(&stereo(4.0, 44_100), 44_100, 2);
    assert_equal_sound(&track, &target(TargetCodec::Opus, 0, 2), 0.97);
    assert_equal_sound(&track, &target(TargetCodec::Vorbis, 48_000, 2), 0.97);
    assert_equal_sound(&track, &target(TargetCodec::Vorbis, 44_100, 1), 0.97);
}

#[test]
fn g711_comes_out_as_opus() {
    let track = g711(&Noise::new().pcm(8_000, 4.0), 8_000, 1, G711Law::Mu);
    assert_equal_sound(&track, &target(TargetCodec::Opus, 48_000, 1), 0.97);
}

#[test]
fn opus_packets_of_120_ms_come_out_as_they_went_in() {
    let track = opus(
        &stereo(4.0, 48_000),
        2,
        &["-frame_duration", "120", "-application", "audio"],
    );
    assert_equal_sound(&track, &aac(5, 48_000, 2), 0.97);
}

#[test]
fn every_bit_rate_mode_of_aac_gives_its_own_rate_in_the_right_order() {
    let noise: Vec<f32> = {
        let mut state = 1_u32;
        let tones = Noise::new();
        (0..48_000 * 6 * 2)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let random = state as f32 / u32::MAX as f32 - 0.5;
                0.05 * random + tones.at(f64::from(i / 2) / 48_000.0 * f64::from(1 + i % 2)) as f32
            })
            .collect()
    };
    let track = opus(&noise, 2, &["-b:a", "256k"]);
    for rate in [44_100, 48_000] {
        for channels in [1, 2] {
            let measured: Vec<u64> = (0..=5)
                .map(|mode| {
                    let mut transcoder = Transcoder::new(&track.config, &aac(mode, rate, channels)).unwrap();
                    let mut out = Vec::new();
                    for sample in track.samples() {
                        transcoder.sample(&sample, &mut out).unwrap();
                    }
                    let bits: usize = out.iter().map(|sample| sample.data.len() * 8).sum();
                    bits as u64 * u64::from(rate) / (out.len() as u64 * 1024)
                })
                .collect();
            println!("{rate} Hz, {channels} channels: {measured:?} b/s");
            assert!(measured[1..].is_sorted_by(|a, b| *a + *a / 50 < *b), "{measured:?}");
            assert!(measured[1..].iter().all(|variable| variable != &measured[0]));
            let constant = 64_000 * u64::from(channels);
            assert!(measured[0].abs_diff(constant) < constant / 20, "{measured:?}");
        }
    }
}

#[test]
fn the_track_that_comes_out_is_described_in_full() {
    let from = opus(&stereo(0.1, 48_000), 2, &[]).config;
    let of = |target: Target| Transcoder::new(&from, &target).unwrap().config().clone();
    let CodecConfig::Aac(config) = of(aac(5, 44_100, 2)).codec else {
        panic!()
    };
    assert_eq!(config, crate::codec::aac::parse_asc(config.asc.clone()).unwrap());
    assert_eq!(
        (
            config.object_type,
            config.sample_rate,
            config.channels,
            config.frame_samples
        ),
        (2, 44_100, 2, 1024)
    );
    let opus = of(target(TargetCodec::Opus, 44_100, 2));
    assert_eq!(opus.timescale.get(), 48_000);
    let CodecConfig::Opus(opus) = opus.codec else { panic!() };
    assert_eq!((opus.channels, opus.pre_skip), (2, 312));
    let CodecConfig::Vorbis(vorbis) = of(target(TargetCodec::Vorbis, 32_000, 1)).codec else {
        panic!()
    };
    assert_eq!((vorbis.channels, vorbis.sample_rate), (1, 32_000));
    assert_eq!(&vorbis.headers[0][..7], b"\x01vorbis");
    assert_eq!(&vorbis.headers[2][..7], b"\x05vorbis");
}
