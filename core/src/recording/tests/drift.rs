//! Ten minutes of a sender whose clock of sound is off: RTP in, a file out, sound and picture in step.

use std::io::Read;
use std::process::{Command, Stdio};

use audio_codec_algorithms::encode_ulaw;

use super::*;
use crate::ingest::rtp::{Format, Output, Packet, Receiver, ReceiverOptions, SessionTime};

const SECONDS: u32 = 600;
const PICTURES_A_SECOND: u32 = 25;
/// A flash and a beep begin together every so many seconds, at `FIRST_S` first. Drift of 200 ppm is 2 ms
/// in 10 s: no multiple of that, or every beep would meet the correction at the same point.
const EVERY_S: f64 = 13.0;
const FIRST_S: f64 = 5.0;
const BEEP_S: f64 = 0.1;
/// Nominal rate of the sound, and samples in a packet.
const RATE: f64 = 8000.0;
const PACKET_SAMPLES: u32 = 160;
/// Seconds from 1900 to some day of 2026.
const NTP_SECONDS: f64 = 3_976_214_400.0;
/// What is asked for is 20 ms; corrections begin at 2 ms.
const IN_STEP_S: f64 = 0.005;

/// A publisher: 25 pictures a second, and telephony whose sample clock runs `ppm` fast, both captured
/// on one clock that its sender reports tell.
struct Sender {
    ppm: f64,
    time: SessionTime,
    video: Receiver,
    audio: Receiver,
    pictures: u32,
    packets: u32,
    jitter: u64,
}

impl Sender {
    fn new(ppm: f64) -> Self {
        let time = SessionTime::new();
        let CodecConfig::H264(h264) = video().codec else {
            unreachable!()
        };
        let sets = h264.sps.iter().chain(&h264.pps).cloned().collect();
        let receiver = |track, format, rate| Receiver::new(track, format, rate, ReceiverOptions::default(), &time);
        let sound = Format::Pcmu {
            rate: 8000,
            channels: 1,
        };
        Self {
            ppm,
            video: receiver(VIDEO, Format::H264 { sets }, 90_000).unwrap(),
            audio: receiver(AUDIO, sound, 8000).unwrap(),
            time,
            pictures: 0,
            packets: 0,
            jitter: 1,
        }
    }

    /// Ticks of the sound's clock when `seconds` of the common one are over.
    fn sound_ticks(&self, seconds: f64) -> f64 {
        seconds * RATE * (1.0 + self.ppm / 1e6)
    }

    /// Sends what was captured by `now`, late by up to 10 ms, and every second the reports.
    fn send_until(&mut self, bench: &Bench, now: Duration) {
        let seconds = now.as_secs_f64();
        self.jitter = self.jitter.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let captured = seconds - (self.jitter >> 33) as f64 / f64::from(1_u32 << 31) * 0.01;
        while f64::from(self.packets + 1) * f64::from(PACKET_SAMPLES) <= self.sound_ticks(captured) {
            let first = self.packets * PACKET_SAMPLES;
            let payload = (first..first + PACKET_SAMPLES).map(|sample| {
                let at = f64::from(sample) / self.sound_ticks(1.0);
                let loud = at >= FIRST_S && (at - FIRST_S) % EVERY_S < BEEP_S;
                let tone = (std::f64::consts::TAU * 1000.0 * at).sin() * 16_000.0;
                encode_ulaw(if loud { tone as i16 } else { 0 })
            });
            let packet = Packet {
                sequence: self.packets as u16,
                timestamp: first.wrapping_add(u32::MAX - 400_000),
                marker: self.packets == 0,
                ssrc: 1,
                payload: payload.collect(),
            };
            self.audio.packet(packet, now);
            self.packets += 1;
        }
        while f64::from(self.pictures) <= captured * f64::from(PICTURES_A_SECOND) {
            let number = self.pictures;
            let packet = Packet {
                sequence: number as u16,
                timestamp: number.wrapping_mul(90_000 / PICTURES_A_SECOND),
                marker: true,
                ssrc: 2,
                // The first bit says that the slice begins the picture.
                payload: Bytes::from(nal(number | 1 << 31, number.is_multiple_of(50))).slice(4..),
            };
            self.video.packet(packet, now);
            self.pictures += 1;
        }
        if now.as_millis().is_multiple_of(1000) {
            let ntp = ((NTP_SECONDS + seconds) * (1_u64 << 32) as f64) as u64;
            let sound = (self.sound_ticks(seconds).round() as u32).wrapping_add(u32::MAX - 400_000);
            self.audio.sender_report(ntp, sound, now);
            self.video.sender_report(ntp, (seconds * 90_000.0).round() as u32, now);
        }
        for receiver in [&mut self.video, &mut self.audio] {
            while let Some(output) = receiver.poll(now) {
                match output {
                    Output::Config(track) => bench.unit(Unit::Track(Arc::new(track))),
                    Output::Sample(sample) => bench.unit(Unit::Sample(sample)),
                    Output::Dropped { reason, count } => panic!("{count} dropped: {reason}"),
                    Output::WantKeyFrame => {}
                }
            }
        }
    }
}

/// Where beeps begin in the sound of a file, in seconds of the file's presentation.
fn beeps(path: &Path) -> Vec<f64> {
    // The filter puts silence in front where sound begins later than the presentation.
    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i", path.to_str().unwrap()])
        .args("-vn -af aresample=async=1:first_pts=0 -ac 1 -ar 8000 -f s16le -".split(' '))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pcm = Vec::new();
    ffmpeg.stdout.take().unwrap().read_to_end(&mut pcm).unwrap();
    assert!(ffmpeg.wait().unwrap().success());
    let mut found: Vec<f64> = Vec::new();
    for (index, bytes) in pcm.as_chunks().0.iter().enumerate() {
        let at = index as f64 / 8000.0;
        let loud = i16::from_le_bytes(*bytes).unsigned_abs() > 4000;
        if loud && found.last().is_none_or(|last| at - last > EVERY_S / 2.0) {
            found.push(at);
        }
    }
    found
}

/// When each picture of a file is shown, in seconds.
fn shown(path: &Path) -> Vec<f64> {
    let output = Command::new("ffprobe")
        .args("-v quiet -select_streams v -show_entries packet=pts_time -of csv=p=0".split(' '))
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace()
        .map(|line| line.trim_end_matches(',').parse().unwrap())
        .collect()
}

#[test]
fn sound_of_a_clock_200_ppm_off_is_in_step_with_the_picture_after_ten_minutes() {
    for ppm in [200.0, -200.0] {
        let mut bench = Bench::new(&Asked {
            sound: (16_000, 1),
            ..Asked::default()
        });
        let mut sender = Sender::new(ppm);
        for ms in (0..i64::from(SECONDS) * 1000).step_by(20) {
            bench.work_until(ms);
            sender.send_until(&bench, bench.now);
        }
        assert_eq!(sender.time.breaks(), [], "drift is no break");
        let files = bench.stop();
        assert_eq!((files.len(), bench.others().len()), (1, 2), "{:?}", bench.others());
        for track in &files[0].tracks {
            assert!(track.dropped.is_empty() && track.gaps.is_empty(), "{track:?}");
        }
        let pictures = shown(&files[0].path);
        assert_eq!(pictures.len(), sender.pictures as usize, "every picture is in the file");
        let beeps = beeps(&files[0].path);
        assert_eq!(beeps.len(), 46, "{beeps:?}");
        for (round, beep) in beeps.iter().enumerate() {
            let captured = FIRST_S + EVERY_S * round as f64;
            let flash = pictures[(captured * f64::from(PICTURES_A_SECOND)) as usize];
            println!("{ppm:+} ppm, {captured} s: sound {:+.1} ms", (beep - flash) * 1000.0);
            assert!(
                (beep - flash).abs() < IN_STEP_S,
                "{ppm} ppm, {captured} s: {beep} {flash}"
            );
        }
    }
}
