//! Gets tracks whose times lie: jitter, loss, holes, silence, drift, jumps.
//! Gives proof that the sound stays where its times say, without clicks.

use std::time::Duration;

use super::*;
use crate::media::Rounding;

fn noise_opus(seconds: f64) -> Track {
    opus(
        &Noise::new().pcm(48_000, seconds),
        1,
        &["-application", "voip", "-b:a", "48k", "-fec", "1", "-packet_loss", "10"],
    )
}

fn in_ms(sample: &Sample) -> Sample {
    let pts = sample.pts.rescale(Timescale::MILLIS, Rounding::Nearest).unwrap();
    Sample {
        pts,
        dts: pts,
        ..sample.clone()
    }
}

/// Frames of the output follow each other without a hole.
fn assert_contiguous(output: &Output, frame: i64) {
    for pair in output.samples.windows(2) {
        assert_eq!(pair[1].pts.ticks() - pair[0].pts.ticks(), frame);
    }
}

/// A pseudo-random number, the same in each run.
fn hash(index: usize) -> u64 {
    let mixed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

#[test]
fn times_rounded_to_milliseconds_change_nothing() {
    let noise = Noise::new();
    let track = noise_opus(6.0);
    let mut transcoder = Transcoder::new(&track.config, &aac(5, 44_100, 1)).unwrap();
    let samples: Vec<Sample> = track.samples().iter().map(in_ms).collect();
    let output = run(&mut transcoder, &samples);
    assert_contiguous(&output, 1024);
    let counters = transcoder.counters();
    assert_eq!(
        (counters.gaps, counters.cut_time, counters.drift_ppm),
        (0, Duration::ZERO, 0)
    );
    output.assert_follows(&|time| noise.at(time), &[0.1, 2.0, 4.0, 5.8], 0.002, 0.95);
}

#[test]
fn jitter_of_20_ms_is_smoothed_without_filling_or_cutting() {
    let noise = Noise::new();
    let track = g711(&noise.pcm(8_000, 20.0), 8_000, 1, G711Law::Mu);
    let mut transcoder = Transcoder::new(&track.config, &aac(5, 44_100, 1)).unwrap();
    let samples: Vec<Sample> = track
        .samples()
        .iter()
        .enumerate()
        .map(|(index, sample)| {
            // One in six is late or early by up to 20 ms.
            let late = if hash(index).is_multiple_of(6) {
                hash(index + 1000) as i64 % 41 - 20
            } else {
                0
            };
            let pts = Timestamp::from_ms(1000 + index as i64 * 20 + if index == 0 { 0 } else { late });
            Sample {
                pts,
                dts: pts,
                ..sample.clone()
            }
        })
        .collect();
    let output = run(&mut transcoder, &samples);
    let counters = transcoder.counters();
    assert_eq!((counters.gaps, counters.cut_time), (0, Duration::ZERO), "{counters:?}");
    output.assert_follows(&|time| noise.at(time - 1.0), &[1.5, 8.0, 15.0, 20.8], 0.005, 0.95);
}

#[test]
fn five_percent_loss_leaves_the_sound_in_place_and_no_hole() {
    let noise = Noise::new();
    let track = noise_opus(20.0);
    let samples: Vec<Sample> = track
        .samples()
        .into_iter()
        .enumerate()
        .filter(|(index, _)| *index < 5 || !hash(*index).is_multiple_of(20))
        .map(|(_, sample)| sample)
        .collect();
    let lost = track.packets.len() - samples.len();
    assert!((30..80).contains(&lost), "{lost}");
    let mut transcoder = Transcoder::new(&track.config, &aac(5, 44_100, 1)).unwrap();
    let output = run(&mut transcoder, &samples);
    assert_contiguous(&output, 1024);
    let counters = transcoder.counters();
    assert!(
        (lost - 10..=lost).contains(&(counters.gaps as usize)),
        "{lost} lost, {counters:?}"
    );
    assert_eq!(counters.concealed, counters.gaps);
    assert_eq!(counters.gap_time.as_millis(), lost as u128 * 20);
    for time in [2.0, 6.0, 11.0, 19.0] {
        let (lag, _) = output.lag(&|time| noise.at(time), time, 0);
        assert!(lag.abs() < 0.005, "{lag}");
    }
    for (index, loudness) in output.loudness(0.1, 19.9).iter().enumerate() {
        assert!(*loudness > 0.01, "a drop-out {index} blocks in: {loudness}");
    }
}

#[test]
fn a_hole_of_10_s_is_silent_and_what_follows_is_in_place() {
    let noise = Noise::new();
    for track in [noise_opus(16.0), g711(&noise.pcm(8_000, 16.0), 8_000, 1, G711Law::A)] {
        let rate = f64::from(track.config.timescale.get());
        let hole = 3.0 * rate..13.0 * rate;
        let samples: Vec<Sample> = track
            .samples()
            .into_iter()
            .filter(|sample| !hole.contains(&(sample.pts.ticks() as f64)))
            .collect();
        let mut transcoder = Transcoder::new(&track.config, &aac(5, 44_100, 2)).unwrap();
        let output = run(&mut transcoder, &samples);
        assert_contiguous(&output, 1024);
        let counters = transcoder.counters();
        assert_eq!(counters.gaps, 1);
        assert!(counters.gap_time.abs_diff(Duration::from_secs(10)) < Duration::from_millis(25));
        output.assert_follows(&|time| noise.at(time), &[2.8, 13.1, 15.8], 0.001, 0.95);
        assert!(output.loudness(3.2, 12.9).iter().all(|loudness| *loudness < 0.001));
    }
}

#[test]
fn a_sender_that_says_nothing_while_nobody_speaks_stays_in_step() {
    let noise = Noise::new();
    let track = noise_opus(8.0);
    let samples: Vec<Sample> = track
        .samples()
        .into_iter()
        .enumerate()
        .filter_map(|(index, sample)| match index {
            // DTX: now and then a byte or nothing at all in it, else not even a packet.
            100..250 if index % 20 == 0 => Some(Sample {
                data: sample.data.slice(..1),
                ..sample
            }),
            100..250 if index % 20 == 10 => Some(Sample {
                data: Bytes::new(),
                ..sample
            }),
            100..250 => None,
            _ => Some(sample),
        })
        .collect();
    let mut transcoder = Transcoder::new(&track.config, &aac(5, 44_100, 1)).unwrap();
    let output = run(&mut transcoder, &samples);
    assert_contiguous(&output, 1024);
    assert_eq!(transcoder.counters().decode_errors, 0);
    output.assert_follows(&|time| noise.at(time), &[1.8, 5.2, 7.8], 0.001, 0.95);
}

#[test]
fn silence_fills_what_a_stopped_track_leaves_and_late_sound_is_cut() {
    let noise = Noise::new();
    let track = noise_opus(8.0);
    let mut transcoder = Transcoder::new(&track.config, &aac(5, 48_000, 1)).unwrap();
    let mut out = Vec::new();
    transcoder.silence_until(Timestamp::from_ms(500), &mut out).unwrap();
    assert!(out.is_empty(), "there is no beginning yet");
    for (index, sample) in track.samples().iter().enumerate() {
        match index {
            100..150 => {}
            // From 3.0 s on it is silent up to 4.0 s, though sound comes from 3.5 s on.
            150 => transcoder.silence_until(Timestamp::from_ms(4000), &mut out).unwrap(),
            151..175 => {}
            _ => transcoder.sample(sample, &mut out).unwrap(),
        }
    }
    assert!(transcoder.counters().cut_time > Duration::from_millis(450));
    transcoder.silence_until(Timestamp::from_ms(9000), &mut out).unwrap();
    let far = transcoder
        .silence_until(Timestamp::from_ms(9_000_000), &mut out)
        .unwrap_err();
    assert_eq!(far.kind(), crate::media::ErrorKind::LimitExceeded);
    transcoder.finish(&mut out).unwrap();
    let again = transcoder.finish(&mut out).unwrap_err();
    assert_eq!(again.kind(), crate::media::ErrorKind::InvalidState);
    let output = Output::decode(out, transcoder.config().clone());
    assert_contiguous(&output, 1024);
    output.assert_follows(&|time| noise.at(time), &[1.8, 4.1, 7.8], 0.001, 0.95);
    assert!(output.loudness(2.1, 3.9).iter().all(|loudness| *loudness < 0.001));
    assert!((9.0..9.1).contains(&output.end()), "{}", output.end());
}

#[test]
fn repeated_samples_and_times_that_go_back_are_cut() {
    let noise = Noise::new();
    let track = noise_opus(4.0);
    let samples: Vec<Sample> = track
        .samples()
        .into_iter()
        .enumerate()
        .flat_map(|(index, sample)| std::iter::repeat_n(sample, if index % 10 == 9 { 2 } else { 1 }))
        .collect();
    let mut transcoder = Transcoder::new(&track.config, &aac(5, 44_100, 1)).unwrap();
    let output = run(&mut transcoder, &samples);
    assert_contiguous(&output, 1024);
    let twice = track.packets.len() as u128 / 10 * 20;
    assert!(transcoder.counters().cut_time.as_millis().abs_diff(twice) <= 20);
    for time in [1.0, 2.0, 3.8] {
        let (lag, alike) = output.lag(&|time| noise.at(time), time, 0);
        assert!(lag.abs() < 0.002 && alike > 0.7, "{lag} {alike}");
    }
}

#[test]
fn a_hole_of_hours_makes_the_times_jump_instead_of_filling_it() {
    let noise = Noise::new();
    let track = noise_opus(4.0);
    let hours = 48_000 * 3600 * 5;
    let samples: Vec<Sample> = track
        .packets
        .iter()
        .enumerate()
        .map(|(index, (at, data))| {
            let at = if index < 100 { *at } else { at + hours };
            sample(Timestamp::new(at, track.config.timescale), data.clone())
        })
        .collect();
    let mut transcoder = Transcoder::new(&track.config, &aac(5, 48_000, 1)).unwrap();
    let mut out = Vec::new();
    for sample in &samples {
        transcoder.sample(sample, &mut out).unwrap();
    }
    transcoder.finish(&mut out).unwrap();
    assert_eq!(transcoder.counters().jumps, 1);
    assert!(out.len() < 220, "{}", out.len());
    let jump = out.iter().position(|sample| sample.pts.ticks() > hours / 2).unwrap();
    for mut part in [out[..jump].to_vec(), out[jump..].to_vec()] {
        let later = part[0].pts.ticks() > hours / 2;
        for sample in &mut part {
            let at = sample.pts.ticks() - if later { hours } else { 0 };
            sample.pts = Timestamp::new(at, sample.pts.scale());
        }
        let output = Output::decode(part, transcoder.config().clone());
        let times = if later { [2.1, 3.0, 3.8] } else { [0.1, 1.0, 1.8] };
        output.assert_follows(&|time| noise.at(time), &times, 0.001, 0.95);
    }
}

#[test]
fn another_rate_channel_count_and_codec_go_on_in_the_same_output() {
    let noise = Noise::new();
    let first = g711(&noise.pcm(8_000, 2.0), 8_000, 1, G711Law::Mu);
    let second = g711(&doubled(&noise.pcm(16_000, 6.0)), 16_000, 2, G711Law::A);
    let third = noise_opus(6.0);
    let mut transcoder = Transcoder::new(&first.config, &aac(5, 44_100, 2)).unwrap();
    let mut out = Vec::new();
    let config = transcoder.config().clone();
    for (track, begin, end) in [(&first, 0, 2), (&second, 2, 4), (&third, 4, 6)] {
        transcoder.reconfigure(&track.config).unwrap();
        let rate = i64::from(track.config.timescale.get());
        for sample in track.samples() {
            if (begin * rate - rate / 50..end * rate - rate / 50).contains(&sample.pts.ticks()) {
                transcoder.sample(&sample, &mut out).unwrap();
            }
        }
    }
    transcoder.finish(&mut out).unwrap();
    assert_eq!(&config, transcoder.config());
    let output = Output::decode(out, config);
    assert_contiguous(&output, 1024);
    output.assert_follows(&|time| noise.at(time), &[0.5, 1.8, 2.2, 3.8, 4.2, 5.7], 0.001, 0.95);
}

#[test]
fn a_clock_off_by_200_ppm_is_followed_for_10_min() {
    let rate = 16_000;
    for drift in [200e-6, -200e-6] {
        // What the sender's clock takes for a second is longer (or shorter) than that.
        let real = |frame: f64| frame / f64::from(rate) * (1.0 + drift);
        let noise = Noise::new();
        // Noise where it is listened to, a tone in between.
        let signal = |time: f64| match time % 30.0 {
            29.0.. => noise.at(time),
            _ => 0.5 * (TAU * 440.0 * time).sin(),
        };
        let pcm: Vec<f32> = (0..rate * 600)
            .map(|frame| signal(real(f64::from(frame))) as f32)
            .collect();
        let track = g711(&pcm, rate, 1, G711Law::Mu);
        let samples: Vec<Sample> = track
            .samples()
            .iter()
            .map(|sample| {
                let pts = Timestamp::from_ms((real(sample.pts.ticks() as f64) * 1000.0).round() as i64);
                Sample {
                    pts,
                    dts: pts,
                    ..sample.clone()
                }
            })
            .collect();
        let mut transcoder = Transcoder::new(&track.config, &aac(5, 16_000, 1)).unwrap();
        let mut out = Vec::new();
        for sample in &samples {
            transcoder.sample(sample, &mut out).unwrap();
        }
        let counters = transcoder.counters();
        assert_eq!((counters.gaps, counters.cut_time), (0, Duration::ZERO), "{counters:?}");
        assert!((counters.drift_ppm - (drift * 1e6) as i32).abs() < 60, "{counters:?}");
        transcoder.finish(&mut out).unwrap();
        let output = Output::decode(out, transcoder.config().clone());
        assert_contiguous(&output, 1024);
        for round in 1..=20 {
            let time = f64::from(round) * 30.0 - 0.5;
            let (lag, alike) = output.lag(&signal, time, 0);
            println!("{:+} ppm, {time} s: {:.2} ms, {alike:.3}", drift * 1e6, lag * 1000.0);
            assert!(lag.abs() < 0.003 && alike > 0.9, "{time}: {lag} {alike}");
        }
    }
}
