use bytes::Bytes;

use super::*;
use crate::media::AacConfig;
use crate::media::H264Config;

const VIDEO: TrackId = TrackId(1);
const AUDIO: TrackId = TrackId(2);

fn video() -> TrackConfig {
    let h264 = H264Config {
        avcc: Bytes::new(),
        sps: Vec::new(),
        pps: Vec::new(),
        nal_length_size: 4,
        width: 64,
        height: 64,
        sample_aspect_ratio: (1, 1),
        profile: 66,
        level: 10,
        frame_rate: None,
    };
    TrackConfig {
        id: VIDEO,
        timescale: Timescale::MILLIS,
        codec: CodecConfig::H264(h264),
    }
}

fn audio() -> TrackConfig {
    let aac = AacConfig {
        asc: Bytes::new(),
        object_type: 2,
        sample_rate: 48_000,
        channels: 2,
        frame_samples: 1024,
    };
    TrackConfig {
        id: AUDIO,
        timescale: Timescale::new(48_000).unwrap(),
        codec: CodecConfig::Aac(aac),
    }
}

/// A stream of 25 frames a second and 48 kHz AAC, in milliseconds as RTMP has them, under a clock
/// that the test moves.
struct Stream {
    timeline: Timeline,
    wall_ms: i64,
}

impl Stream {
    fn new() -> Self {
        Self::beginning_at(0)
    }

    fn beginning_at(stream_ms: i64) -> Self {
        let mut timeline = Timeline::default();
        timeline.begin(from_ms(stream_ms));
        timeline.track(&video());
        timeline.track(&audio());
        Self { timeline, wall_ms: 0 }
    }

    fn sample(track: TrackId, dts_ms: i64, pts_ms: i64) -> Sample {
        Sample {
            track,
            pts: Timestamp::from_ms(pts_ms),
            dts: Timestamp::from_ms(dts_ms),
            key: true,
            data: Bytes::new(),
        }
    }

    fn place(&mut self, track: TrackId, dts_ms: i64) -> Place {
        let arrival = Duration::from_millis(self.wall_ms.unsigned_abs());
        self.timeline
            .place(&Self::sample(track, dts_ms, dts_ms), arrival)
            .unwrap()
    }

    /// `seconds` of both tracks; stream time is `offset_ms` ahead of the wall. Gives the breaks.
    fn run(&mut self, seconds: i64, offset_ms: i64) -> Vec<Break> {
        let mut breaks = Vec::new();
        let end = self.wall_ms + seconds * 1000;
        let mut audio_frame = self.wall_ms * 48 / 1024 + 1;
        while self.wall_ms < end {
            breaks.extend(self.place(VIDEO, self.wall_ms + offset_ms).gap);
            while audio_frame * 1024 / 48 < self.wall_ms + 40 {
                breaks.extend(self.place(AUDIO, audio_frame * 1024 / 48 + offset_ms).gap);
                audio_frame += 1;
            }
            self.wall_ms += 40;
        }
        breaks
    }

    fn head_ms(&self) -> i64 {
        to_ms(self.timeline.head())
    }

    /// How far sound is from picture, given what both tracks' last samples should be apart.
    fn out_of_step_ms(&self) -> i64 {
        let offset = |id| self.timeline.tracks.iter().find(|track| track.id == id).unwrap().offset;
        to_ms(offset(VIDEO) - offset(AUDIO))
    }
}

#[test]
fn millisecond_audio_lies_on_its_sample_grid_again() {
    let mut timeline = Timeline::default();
    timeline.begin(0);
    timeline.track(&audio());
    for frame in 0..100_000_i64 {
        let rounded_ms = (frame * 1024 * 1000 + 24_000) / 48_000;
        let arrival = Duration::from_millis(rounded_ms.unsigned_abs());
        let place = timeline
            .place(&Stream::sample(AUDIO, rounded_ms, rounded_ms), arrival)
            .unwrap();
        assert_eq!(place.dts.ticks(), frame * 1024);
        assert_eq!(place.gap, None);
    }
}

#[test]
fn a_smooth_stream_keeps_its_times_and_the_start_offset_of_its_tracks() {
    let mut stream = Stream::new();
    assert_eq!(stream.run(60, 0), []);
    assert!((stream.head_ms() - 60_000).abs() <= 21);
    let place = stream
        .timeline
        .place(&Stream::sample(VIDEO, 60_000, 60_080), Duration::from_secs(60))
        .unwrap();
    assert_eq!((place.dts.ticks(), place.pts.ticks()), (60_000, 60_080));
}

#[test]
fn a_gap_in_step_with_the_wall_stays_and_is_told_once_a_track() {
    let mut stream = Stream::new();
    stream.run(5, 0);
    stream.wall_ms += 60_000;
    let breaks = stream.run(5, 0);
    assert_eq!(breaks.len(), 2, "{breaks:?}");
    assert!(breaks.iter().all(|found| found.cause == BreakCause::Silence));
    assert!(
        breaks.iter().all(|found| (to_ms(found.length) - 60_000).abs() <= 45),
        "{breaks:?}"
    );
    assert!((stream.head_ms() - 70_000).abs() <= 21);
}

#[test]
fn a_clock_that_jumps_ahead_by_an_hour_adds_nothing_to_the_duration() {
    let mut stream = Stream::new();
    stream.run(5, 0);
    let breaks = stream.run(5, 3_600_000);
    assert_eq!(breaks.len(), 2, "{breaks:?}");
    assert!(breaks.iter().all(|found| found.cause == BreakCause::ClockJump));
    assert!((stream.head_ms() - 10_000).abs() <= 40, "{}", stream.head_ms());
    assert_eq!(stream.out_of_step_ms(), 0);
}

#[test]
fn a_publisher_that_begins_at_zero_again_is_continued_in_step() {
    let mut stream = Stream::beginning_at(1_000_000);
    stream.run(50, 1_000_000);
    let breaks = stream.run(50, -50_000);
    assert!(
        breaks.iter().all(|found| found.cause == BreakCause::ClockBack),
        "{breaks:?}"
    );
    assert_eq!(breaks.len(), 2);
    assert!((stream.head_ms() - 100_000).abs() <= 1_000, "{}", stream.head_ms());
    assert_eq!(stream.out_of_step_ms(), 0);
}

#[test]
fn a_burst_of_old_samples_does_not_stretch_the_recording() {
    let mut stream = Stream::new();
    stream.run(20, 0);
    for old in 0..10 {
        stream.place(VIDEO, 12_000 + old * 40);
    }
    let breaks = stream.run(20, 0);
    assert!(
        (stream.head_ms() - 40_000).abs() <= 50,
        "{} {breaks:?}",
        stream.head_ms()
    );
    assert_eq!(stream.out_of_step_ms(), 0);
}

#[test]
fn equal_and_slightly_falling_times_are_moved_up_and_nothing_is_lost() {
    let mut stream = Stream::new();
    let mut last = -1;
    for dts in [0, 40, 40, 39, 80, 60, 120, 160] {
        let place = stream.place(VIDEO, dts);
        assert!(place.dts.ticks() > last);
        assert!(place.pts.ticks() >= place.dts.ticks());
        last = place.dts.ticks();
    }
    assert_eq!(last, 160);
}

#[test]
fn a_track_that_starts_late_is_in_step_and_one_with_a_strange_clock_starts_where_it_arrived() {
    let mut stream = Stream::new();
    for frame in 0..125 {
        stream.wall_ms = frame * 40;
        stream.place(VIDEO, frame * 40);
    }
    assert_eq!(stream.place(AUDIO, 4_990).dts.ticks(), 4_990 * 48);
    let mut strange = Stream::new();
    for frame in 0..125 {
        strange.wall_ms = frame * 40;
        strange.place(VIDEO, frame * 40);
    }
    let place = strange.place(AUDIO, 1_234_567_890);
    assert!((place.dts.as_ms() - 4_960).abs() <= 40, "{place:?}");
}

#[test]
fn a_source_faster_than_real_time_keeps_gaps_that_it_has() {
    let mut stream = Stream::new();
    for frame in 0..250 {
        stream.place(VIDEO, frame * 40);
    }
    let place = stream.place(VIDEO, 250 * 40 + 8_000);
    assert_eq!(place.dts.ticks(), 18_000);
    assert_eq!(to_ms(place.gap.unwrap().length), 8_000);
}

#[test]
fn a_pause_is_cut_out_or_stays_as_asked() {
    for (keep_gap, expected) in [(false, 20_000), (true, 50_000)] {
        let mut stream = Stream::new();
        stream.run(10, 0);
        stream.timeline.pause(keep_gap);
        stream.wall_ms += 30_000;
        let first = Stream::sample(VIDEO, stream.wall_ms, stream.wall_ms);
        stream.timeline.resume(&first).unwrap();
        stream.run(10, 0);
        assert!(
            (stream.head_ms() - expected).abs() <= 40,
            "{keep_gap} {}",
            stream.head_ms()
        );
        assert_eq!(stream.out_of_step_ms(), 0);
    }
}

#[test]
fn a_day_of_samples_does_not_drift() {
    let mut stream = Stream::new();
    assert_eq!(stream.run(24 * 3600, 0), []);
    assert_eq!(stream.head_ms(), 24 * 3_600_000);
}
