//! One timeline for tracks whose clocks and packets disagree.

use super::*;
use crate::media::{Timescale, Timestamp, TrackKind};

const VIDEO: TrackId = TrackId(1);
const SOUND: TrackId = TrackId(2);
const MS: i64 = Timescale::FLICKS.get() as i64 / 1000;
/// 2026-01-01 in seconds since 1900.
const NTP_SECONDS: u64 = 3_976_214_400;

fn ntp(time: f64) -> u64 {
    ((NTP_SECONDS as f64 + time) * (1_u64 << 32) as f64) as u64
}

/// Pairs of capture time in seconds and session time in flicks.
type Times = Vec<(f64, i64)>;

/// A sender of 25 pictures a second at 90 kHz and sound every 20 ms at 48 kHz, each clock off by some
/// parts in a million, with reports every second.
struct Sender {
    video_ppm: f64,
    sound_ppm: f64,
    /// How much longer pictures take than sound to get here.
    video_late_s: f64,
    sound_reports_from_s: f64,
}

impl Sender {
    /// Where pictures and sound of `seconds` are placed.
    fn run(&self, seconds: f64, time: &SessionTime) -> (Times, Times) {
        let (mut pictures, mut sounds) = (Vec::new(), Vec::new());
        let video_ticks = |at: f64| 1_000_000 + (at * 90_000.0 * (1.0 + self.video_ppm / 1e6)).round() as i64;
        let sound_ticks = |at: f64| 77 + (at * 48_000.0 * (1.0 + self.sound_ppm / 1e6)).round() as i64;
        for step in 0..(seconds * 50.0) as u64 {
            let at = step as f64 / 50.0;
            let arrival = Duration::from_secs_f64(100.0 + at);
            sounds.push((
                at,
                time.place(SOUND, TrackKind::Audio, 48_000, sound_ticks(at), arrival),
            ));
            if step % 2 == 0 {
                let arrival = Duration::from_secs_f64(100.0 + at + self.video_late_s);
                pictures.push((
                    at,
                    time.place(VIDEO, TrackKind::Video, 90_000, video_ticks(at), arrival),
                ));
            }
            if step % 50 == 10 {
                time.report(VIDEO, TrackKind::Video, 90_000, ntp(at), video_ticks(at));
                if at >= self.sound_reports_from_s {
                    time.report(SOUND, TrackKind::Audio, 48_000, ntp(at), sound_ticks(at));
                }
            }
        }
        (pictures, sounds)
    }
}

/// Session time of a picture minus that of sound captured at the same moment, in ms, at the end.
fn skew_ms(pictures: &Times, sounds: &Times) -> f64 {
    let (at, picture) = *pictures.last().unwrap();
    let (_, sound) = *sounds.iter().rev().find(|(sound_at, _)| *sound_at <= at).unwrap();
    (picture - sound) as f64 / MS as f64
}

fn assert_rising(times: &Times) {
    assert!(times.windows(2).all(|pair| pair[0].1 < pair[1].1));
}

#[test]
fn a_small_error_is_slewed_without_a_break_and_sound_is_never_moved() {
    let time = SessionTime::new();
    let sender = Sender {
        video_ppm: 0.0,
        sound_ppm: 0.0,
        video_late_s: 0.06,
        sound_reports_from_s: 3.0,
    };
    let (pictures, sounds) = sender.run(20.0, &time);
    assert!(
        skew_ms(&pictures, &sounds).abs() < 3.0,
        "{}",
        skew_ms(&pictures, &sounds)
    );
    assert_eq!(time.breaks(), []);
    assert!(sounds.windows(2).all(|pair| pair[1].1 - pair[0].1 == 20 * MS));
    // 40 ms a picture, 2 % slower or faster at most.
    assert!(
        pictures
            .windows(2)
            .all(|pair| ((pair[1].1 - pair[0].1) - 40 * MS).abs() <= 4 * MS / 5 + 10_000)
    );
}

#[test]
fn a_big_error_is_stepped_once_and_listed_and_time_never_goes_back() {
    for late in [0.4, -0.4] {
        let time = SessionTime::new();
        let sender = Sender {
            video_ppm: 0.0,
            sound_ppm: 0.0,
            video_late_s: late,
            sound_reports_from_s: 0.0,
        };
        let (pictures, sounds) = sender.run(20.0, &time);
        assert!(
            skew_ms(&pictures, &sounds).abs() < 3.0,
            "{}",
            skew_ms(&pictures, &sounds)
        );
        let breaks = time.breaks();
        assert_eq!(breaks.len(), 1);
        assert_eq!(breaks[0].track, VIDEO);
        assert!(
            (breaks[0].step.as_ms() + (late * 1000.0) as i64).abs() < 30,
            "{breaks:?}"
        );
        assert_rising(&pictures);
    }
}

#[test]
fn sound_and_pictures_stay_in_step_over_ten_minutes_with_clocks_200_ppm_off() {
    for (video_ppm, sound_ppm) in [(0.0, 200.0), (0.0, -200.0), (100.0, -100.0)] {
        let time = SessionTime::new();
        let sender = Sender {
            video_ppm,
            sound_ppm,
            video_late_s: 0.02,
            sound_reports_from_s: 0.0,
        };
        let (pictures, sounds) = sender.run(600.0, &time);
        assert!(
            skew_ms(&pictures, &sounds).abs() < 5.0,
            "{}",
            skew_ms(&pictures, &sounds)
        );
        assert_eq!(time.breaks(), []);
        assert_rising(&pictures);
    }
}

#[test]
fn sound_whose_clock_stood_still_goes_on_where_it_arrives() {
    for pause_s in [1.1, 8.0, 10.0, 30.0] {
        let time = SessionTime::new();
        let (from, to) = (6.0, 6.0 + pause_s);
        let mut counted = 0;
        let (mut pictures, mut sounds): (Times, Times) = (Vec::new(), Vec::new());
        for step in 0..(pause_s * 50.0) as u64 + 1000 {
            let at = step as f64 / 50.0;
            // Up to 9 ms of jitter.
            let arrival = Duration::from_secs_f64(100.0 + at + (step * 7 % 10) as f64 / 1000.0);
            if step % 2 == 0 {
                let ticks = (at * 90_000.0) as i64;
                pictures.push((at, time.place(VIDEO, TrackKind::Video, 90_000, ticks, arrival)));
            }
            if !(from..to).contains(&at) {
                sounds.push((at, time.place(SOUND, TrackKind::Audio, 48_000, counted, arrival)));
                counted += 960;
            }
            if step % 50 == 10 {
                time.report(VIDEO, TrackKind::Video, 90_000, ntp(at), (at * 90_000.0) as i64);
            }
            // Rarely, and through the pause as if the clock ran.
            if step % 200 == 20 {
                let ahead = if (from..to).contains(&at) { at - from } else { -0.02 };
                let ticks = counted + (ahead * 48_000.0) as i64;
                time.report(SOUND, TrackKind::Audio, 48_000, ntp(at), ticks);
            }
        }
        assert!(sounds.windows(2).all(|pair| pair[0].1 < pair[1].1));
        assert_rising(&pictures);
        for (at, sound) in sounds.iter().filter(|(at, _)| *at > 1.0) {
            let (_, picture) = pictures.iter().rev().find(|(shown, _)| shown <= at).unwrap();
            let apart_ms = (sound - picture) as f64 / MS as f64 - (at * 50.0).round() % 2.0 * 20.0;
            assert!(apart_ms.abs() < 15.0, "{pause_s} s, {at}: {apart_ms}");
        }
        assert_eq!(time.breaks().len(), 1);
    }
}

#[test]
fn sound_that_a_stalled_link_held_up_together_with_pictures_stays_where_it_was() {
    let time = SessionTime::new();
    for step in 0..1000_i64 {
        // Nothing comes through for two seconds, then all of it at once.
        let sent = 20 * step as u64;
        let arrival = if (6000..8000).contains(&sent) { 8000 } else { sent };
        let arrival = Duration::from_millis(100_000 + arrival);
        let sound = time.place(SOUND, TrackKind::Audio, 48_000, 960 * step, arrival);
        let picture = time.place(VIDEO, TrackKind::Video, 90_000, 1800 * step, arrival);
        assert_eq!((sound, picture), (20 * MS * step, 20 * MS * step));
    }
    assert_eq!(time.breaks(), []);
}

#[test]
fn reports_that_contradict_what_arrives_by_more_than_ten_seconds_are_not_believed() {
    let time = SessionTime::new();
    for step in 0..500_i64 {
        let arrival = Duration::from_millis(20 * step as u64);
        let picture = time.place(VIDEO, TrackKind::Video, 90_000, 1800 * step, arrival);
        let sound = time.place(SOUND, TrackKind::Audio, 8000, 160 * step, arrival);
        assert_eq!(picture, sound);
        if step % 50 == 0 {
            time.report(VIDEO, TrackKind::Video, 90_000, ntp(step as f64 / 50.0), 1800 * step);
            time.report(
                SOUND,
                TrackKind::Audio,
                8000,
                ntp(step as f64 / 50.0 + 3600.0),
                160 * step,
            );
        }
    }
}

#[test]
fn the_wall_time_of_the_sender_is_kept() {
    let time = SessionTime::new();
    let begin = time.place(VIDEO, TrackKind::Video, 90_000, 90_000, Duration::ZERO);
    assert_eq!(time.wall_time(Timestamp::new(begin, Timescale::FLICKS)), None);
    time.report(VIDEO, TrackKind::Video, 90_000, 0, 90_000);
    assert_eq!(time.wall_time(Timestamp::new(begin, Timescale::FLICKS)), None);
    time.report(VIDEO, TrackKind::Video, 90_000, ntp(2.0), 270_000);
    let wall = time.wall_time(Timestamp::new(begin, Timescale::FLICKS)).unwrap();
    assert_eq!(wall.0, (NTP_SECONDS as i64 - 2_208_988_800) * 1000);
}

#[test]
fn a_gap_in_rtp_time_stays_a_gap_across_the_wrap_of_the_timestamp() {
    let mut sequence = 0;
    let packets: Vec<(Duration, Packet)> = (0..100_u32)
        .chain(600..700)
        .map(|frame| {
            sequence += 1;
            let packet = Packet {
                sequence,
                timestamp: u32::MAX.wrapping_sub(40_000).wrapping_add(frame * 960),
                marker: frame == 0,
                ssrc: 1,
                payload: bytes::Bytes::from_static(&[0xf8, 1, 2]),
            };
            (Duration::from_millis(u64::from(frame) * 20), packet)
        })
        .collect();
    let received = receive(
        Format::Opus { channels: 2 },
        48_000,
        ReceiverOptions::default(),
        &packets,
    );
    assert_eq!(received.samples.len(), 200);
    let step = |index: usize| (received.samples[index].pts.ticks() - received.samples[index - 1].pts.ticks()) / MS;
    assert_eq!(step(100), 501 * 20);
    assert!((1..200).filter(|index| *index != 100).all(|index| step(index) == 20));
}
