//! Gets a signal that is known at every moment, encoded by ffmpeg, and transcoded here.
//! Gives how late, how alike and how whole it is, after ffmpeg decoded the result.
#![cfg(feature = "fdk-aac")]

mod codecs;
mod cost;
mod hostile;
mod ogg;
mod times;

use std::f64::consts::TAU;
use std::io::Write;
use std::process::{Command, Stdio};

use bytes::Bytes;

use super::{Target, TargetCodec, Transcoder};
use crate::codec::aac::AdtsHeader;
use crate::media::{
    AacConfig, CodecConfig, G711Config, G711Law, Mp3Config, OpusConfig, Sample, Timescale, Timestamp, TrackConfig,
    TrackId, VorbisConfig,
};

const TRACK: TrackId = TrackId(7);

/// A sum of many sines: like noise, it resembles itself at no other time, and its value at any moment
/// can be computed.
struct Noise(Vec<(f64, f64)>);

impl Noise {
    fn new() -> Self {
        let mut state = 12_345_u64;
        let mut random = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1_u32 << 31)
        };
        Self((0..24).map(|_| (150.0 + 2600.0 * random(), TAU * random())).collect())
    }

    fn at(&self, time: f64) -> f64 {
        0.04 * self
            .0
            .iter()
            .map(|(hz, phase)| (TAU * hz * time + phase).sin())
            .sum::<f64>()
    }

    fn pcm(&self, rate: u32, seconds: f64) -> Vec<f32> {
        (0..(seconds * f64::from(rate)) as usize)
            .map(|i| self.at(i as f64 / f64::from(rate)) as f32)
            .collect()
    }
}

/// An encoded track: packets, each with the time of its content in ticks of `rate`.
#[derive(Clone)]
struct Track {
    config: TrackConfig,
    packets: Vec<(i64, Bytes)>,
}

impl Track {
    fn new(codec: CodecConfig, rate: u32, packets: Vec<(i64, Bytes)>) -> Self {
        let timescale = Timescale::new(rate).unwrap();
        Self {
            config: TrackConfig {
                id: TRACK,
                timescale,
                codec,
            },
            packets,
        }
    }

    fn samples(&self) -> Vec<Sample> {
        self.packets
            .iter()
            .map(|(at, data)| sample(Timestamp::new(*at, self.config.timescale), data.clone()))
            .collect()
    }
}

fn sample(pts: Timestamp, data: Bytes) -> Sample {
    Sample {
        track: TRACK,
        pts,
        dts: pts,
        key: true,
        data,
    }
}

fn target(codec: TargetCodec, sample_rate: u32, channels: u8) -> Target {
    Target {
        codec,
        sample_rate,
        channels,
    }
}

fn aac(mode: u8, sample_rate: u32, channels: u8) -> Target {
    target(TargetCodec::Aac { mode }, sample_rate, channels)
}

fn ffmpeg(args: &[&str], input: Vec<u8>) -> Vec<u8> {
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed");
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().ok();
    assert!(output.status.success(), "ffmpeg {args:?}");
    output.stdout
}

fn f32_bytes(pcm: &[f32]) -> Vec<u8> {
    pcm.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

/// Encodes interleaved sound of `channels` at `rate` with ffmpeg.
fn encode(pcm: &[f32], rate: u32, channels: u8, args: &[&str]) -> Vec<u8> {
    let (rate, channels) = (rate.to_string(), channels.to_string());
    let mut all = vec!["-f", "f32le", "-ar", &rate, "-ac", &channels, "-i", "pipe:0"];
    all.extend_from_slice(args);
    all.push("pipe:1");
    ffmpeg(&all, f32_bytes(pcm))
}

fn doubled(pcm: &[f32]) -> Vec<f32> {
    pcm.iter().flat_map(|value| [*value; 2]).collect()
}

/// Opus: libopus puts 312 samples before the sound.
fn opus(pcm: &[f32], channels: u8, args: &[&str]) -> Track {
    let mut all = vec!["-c:a", "libopus"];
    all.extend_from_slice(args);
    all.extend_from_slice(&["-f", "ogg"]);
    let packets = ogg::packets(&encode(pcm, 48_000, channels, &all));
    let pre_skip = u16::from_le_bytes([packets[0][10], packets[0][11]]);
    let mut at = -i64::from(pre_skip);
    let packets = packets[2..]
        .iter()
        .map(|packet| {
            let begin = at;
            // SAFETY: the packet is not empty and its length is its own.
            at += i64::from(unsafe {
                unsafe_libopus::opus_packet_get_nb_samples(packet.as_ptr(), packet.len() as i32, 48_000)
            });
            (begin, packet.clone())
        })
        .collect();
    let config = OpusConfig {
        channels,
        pre_skip,
        input_sample_rate: 48_000,
        output_gain: 0,
        mapping: None,
    };
    Track::new(CodecConfig::Opus(config), 48_000, packets)
}

/// G.711 in packets of 20 ms.
fn g711(pcm: &[f32], rate: u32, channels: u8, law: G711Law) -> Track {
    let format = match law {
        G711Law::A => "alaw",
        G711Law::Mu => "mulaw",
    };
    let bytes = encode(pcm, rate, channels, &["-f", format]);
    let frames = rate as usize / 50;
    let packets = bytes
        .chunks(frames * usize::from(channels))
        .enumerate()
        .map(|(index, packet)| ((index * frames) as i64, Bytes::copy_from_slice(packet)))
        .collect();
    let config = G711Config {
        law,
        sample_rate: rate,
        channels,
    };
    Track::new(CodecConfig::G711(config), rate, packets)
}

/// MP3: LAME puts 576 samples before the sound, any decoder 529.
fn mp3(pcm: &[f32], rate: u32, channels: u8) -> Track {
    let bytes = encode(
        pcm,
        rate,
        channels,
        &[
            "-c:a",
            "libmp3lame",
            "-b:a",
            "128k",
            "-write_xing",
            "0",
            "-id3v2_version",
            "0",
            "-f",
            "mp3",
        ],
    );
    let kbps = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    let (mut rest, mut at, mut packets) = (bytes.as_slice(), -1105, Vec::new());
    while rest.len() > 4 {
        let padding = usize::from(rest[2] >> 1 & 1);
        let length = 144_000 * kbps[usize::from(rest[2] >> 4)] / rate as usize + padding;
        let length = length.min(rest.len());
        packets.push((at, Bytes::copy_from_slice(&rest[..length])));
        rest = &rest[length..];
        at += 1152;
    }
    let config = Mp3Config {
        sample_rate: rate,
        channels,
        frame_samples: 1152,
    };
    Track::new(CodecConfig::Mp3(config), rate, packets)
}

/// AAC: ffmpeg's encoder puts 1,024 samples before the sound.
fn aac_track(pcm: &[f32], rate: u32, channels: u8) -> Track {
    let bytes = encode(pcm, rate, channels, &["-c:a", "aac", "-b:a", "128k", "-f", "adts"]);
    let (mut rest, mut at, mut packets, mut config) = (bytes.as_slice(), -1024, Vec::new(), None);
    while !rest.is_empty() {
        let frame = crate::codec::aac::parse_adts_header(rest).unwrap();
        packets.push((at, Bytes::copy_from_slice(&rest[frame.header_bytes..frame.frame_bytes])));
        rest = &rest[frame.frame_bytes..];
        config = Some(frame.config);
        at += 1024;
    }
    Track::new(CodecConfig::Aac(config.unwrap()), rate, packets)
}

/// Vorbis: each packet stands where the sound that it completes begins.
fn vorbis(pcm: &[f32], rate: u32, channels: u8) -> Track {
    let packets = ogg::packets(&encode(
        pcm,
        rate,
        channels,
        &["-c:a", "libvorbis", "-q:a", "5", "-f", "ogg"],
    ));
    let headers = [packets[0].clone(), packets[1].clone(), packets[2].clone()];
    let config = VorbisConfig {
        channels,
        sample_rate: rate,
        headers,
    };
    let lengths = ogg::vorbis_lengths(&config, &packets[3..]);
    let mut at = 0;
    let packets = packets[3..]
        .iter()
        .zip(lengths)
        .map(|(packet, length)| {
            let begin = at;
            at += length;
            (begin, packet.clone())
        })
        .collect();
    Track::new(CodecConfig::Vorbis(config), rate, packets)
}

/// What came out of a transcoder, decoded by ffmpeg.
struct Output {
    samples: Vec<Sample>,
    config: TrackConfig,
    rate: u32,
    channels: usize,
    /// Interleaved; the first frame stands at the first sample's time.
    pcm: Vec<f32>,
}

impl Output {
    fn decode(samples: Vec<Sample>, config: TrackConfig) -> Self {
        let (rate, channels) = config.codec.audio_format().unwrap();
        for pair in samples.windows(2) {
            assert!(pair[1].pts.ticks() > pair[0].pts.ticks());
        }
        let (bytes, format) = match &config.codec {
            CodecConfig::Aac(aac) => (adts(aac, &samples), "aac"),
            CodecConfig::Opus(opus) => (ogg::opus_file(opus, &samples), "ogg"),
            CodecConfig::Vorbis(vorbis) => (ogg::vorbis_file(vorbis, &samples), "ogg"),
            other => panic!("{}", other.name()),
        };
        // The first Vorbis packet stands before the sound and gives nothing.
        let silent = match &config.codec {
            CodecConfig::Vorbis(_) => {
                (samples[1].pts.ticks() - samples[0].pts.ticks()) as usize * usize::from(channels)
            }
            _ => 0,
        };
        let mut pcm = vec![0.0; silent];
        pcm.extend(f32_values(&ffmpeg(
            &["-f", format, "-i", "pipe:0", "-f", "f32le", "pipe:1"],
            bytes,
        )));
        Self {
            samples,
            config,
            rate,
            channels: channels.into(),
            pcm,
        }
    }

    /// One channel from the moment `time` in seconds on.
    fn from(&self, time: f64, frames: usize, channel: usize) -> Vec<f32> {
        let first = (time * f64::from(self.rate)).round() as i64 - self.samples[0].pts.ticks();
        let first = usize::try_from(first).unwrap();
        (first..first + frames)
            .map(|frame| self.pcm.get(frame * self.channels + channel).copied().unwrap_or(0.0))
            .collect()
    }

    /// How late the sound is at `time` against `signal`, in seconds, and how alike, 1 being equal.
    fn lag(&self, signal: &dyn Fn(f64) -> f64, time: f64, channel: usize) -> (f64, f64) {
        let rate = f64::from(self.rate);
        let (most, frames) = ((0.025 * rate) as usize, (0.06 * rate) as usize);
        let heard = self.from(time, frames, channel);
        // Reference with room for lags on both sides; `time` rounded as `from` rounds it.
        let time = (time * rate).round() / rate;
        let reference: Vec<f32> = (0..frames + 2 * most)
            .map(|i| signal(time + (i as f64 - most as f64) / rate) as f32)
            .collect();
        // The signal ends below 3 kHz: every fourth sample tells all.
        let sum = |a: &[f32], b: &[f32]| a.iter().zip(b).step_by(4).map(|(a, b)| a * b).sum::<f32>();
        let power = |pcm: &[f32]| sum(pcm, pcm).sqrt();
        let heard_power = power(&heard);
        let (mut best, mut lag) = (f32::MIN, 0);
        for shift in 0..=2 * most {
            let window = &reference[shift..shift + frames];
            let alike = sum(window, &heard) / (power(window) * heard_power).max(1e-6);
            if alike > best {
                (best, lag) = (alike, most as i64 - shift as i64);
            }
        }
        (lag as f64 / rate, best.into())
    }

    fn assert_follows(&self, signal: &dyn Fn(f64) -> f64, times: &[f64], most_lag: f64, least_alike: f64) {
        for time in times {
            for channel in 0..self.channels {
                let (lag, alike) = self.lag(signal, *time, channel);
                assert!(
                    lag.abs() < most_lag && alike > least_alike,
                    "at {time} s: {:.2} ms late, alike {alike:.3}",
                    lag * 1000.0
                );
            }
        }
    }

    /// Loudness of each 20 ms from `begin` to `end`.
    fn loudness(&self, begin: f64, end: f64) -> Vec<f32> {
        let part = self.rate as usize / 50;
        let pcm = self.from(begin, ((end - begin) * f64::from(self.rate)) as usize, 0);
        pcm.chunks_exact(part)
            .map(|part| (part.iter().map(|value| value * value).sum::<f32>() / part.len() as f32).sqrt())
            .collect()
    }

    /// Where the decoded sound ends, in seconds.
    fn end(&self) -> f64 {
        let frames = (self.pcm.len() / self.channels) as i64 + self.samples[0].pts.ticks();
        frames as f64 / f64::from(self.rate)
    }
}

fn adts(config: &AacConfig, samples: &[Sample]) -> Vec<u8> {
    let header = AdtsHeader::new(config).unwrap();
    let mut bytes = Vec::new();
    for sample in samples {
        bytes.extend_from_slice(&header.for_frame(sample.data.len()).unwrap());
        bytes.extend_from_slice(&sample.data);
    }
    bytes
}

fn run(transcoder: &mut Transcoder, samples: &[Sample]) -> Output {
    let mut out = Vec::new();
    for sample in samples {
        transcoder.sample(sample, &mut out).unwrap();
    }
    transcoder.finish(&mut out).unwrap();
    Output::decode(out, transcoder.config().clone())
}

fn transcode(track: &Track, target: &Target) -> Output {
    let mut transcoder = Transcoder::new(&track.config, target).unwrap();
    let output = run(&mut transcoder, &track.samples());
    assert_eq!(transcoder.counters().decode_errors, 0);
    assert_eq!(transcoder.counters().gaps, 0);
    output
}
