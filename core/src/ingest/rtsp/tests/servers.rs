//! Gets gst-rtsp-server (`tests/e2e/rtsp_server.py`) and files that ffmpeg makes.
//! Gives every codec over TCP and UDP: payloads byte for byte, times within a tick of 90 kHz.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use sha2::Digest as _;
use tokio_util::sync::CancellationToken;

use super::{Collector, source};
use crate::ingest::EndReason;
use crate::ingest::pull::RtspTransport;
use crate::media::{Sample, Timescale};

const TICK: i64 = Timescale::FLICKS.get() as i64 / 90_000;

/// Ends the server with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ffmpeg(folder: &Path, name: &str, arguments: &str) {
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(arguments.split_ascii_whitespace())
        .args(["-t", "2", name])
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(done.success(), "{name}");
}

fn files(folder: &Path) -> Vec<&'static str> {
    let picture = "-f lavfi -i testsrc2=size=320x180:rate=30";
    let sound = "-f lavfi -i sine=frequency=440:sample_rate=48000";
    let x264 = "-c:v libx264 -preset veryfast -g 30 -pix_fmt yuv420p";
    let made = [
        ("plain.h264.aac.mkv", format!("{picture} {sound} {x264} -bf 0 -c:a aac")),
        ("b.h264.mp4", format!("{picture} {x264} -bf 2")),
        (
            "h.h265.mp4",
            format!(
                "{picture} -c:v libx265 -preset ultrafast -x265-params log-level=none -pix_fmt yuv420p -tag:v hvc1"
            ),
        ),
        ("l.latm.mkv", format!("{sound} -c:a aac")),
        ("o.opus.mkv", format!("{sound} -c:a libopus")),
        ("a.pcma.wav", format!("{sound} -ar 8000 -ac 1 -c:a pcm_alaw")),
        ("u.pcmu.wav", format!("{sound} -ar 8000 -ac 1 -c:a pcm_mulaw")),
        ("v.vp8.mkv", format!("{picture} -c:v libvpx -g 30 -deadline realtime")),
    ];
    made.map(|(name, arguments)| {
        ffmpeg(folder, name, &arguments);
        name
    })
    .into()
}

fn serve(folder: &Path, options: &[&str], names: &[&str]) -> (Server, std::net::SocketAddr) {
    use std::io::BufRead as _;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/rtsp_server.py");
    let mut child = Command::new("/usr/bin/python3")
        .arg(script)
        .args(options)
        .args(
            names
                .iter()
                .map(|name| format!("/{name}={}", folder.join(name).display())),
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let server = Server(child);
    (server, ([127, 0, 0, 1], line.trim().parse().unwrap()).into())
}

/// Digest, presentation and decode time (in ticks and the length of a tick) of the packets of one stream of a file.
fn packets(path: &Path, stream: &str) -> Vec<(String, i64, i64, i64)> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(["-map", stream, "-c", "copy", "-f", "framehash", "-hash", "sha256", "-"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let base = text.lines().find(|line| line.starts_with("#tb")).unwrap();
    let (_, base) = base.split_once(": ").unwrap();
    let (over, under) = base.split_once('/').unwrap();
    let tick = i64::from(Timescale::FLICKS.get()) * over.parse::<i64>().unwrap() / under.parse::<i64>().unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let time = |index: usize| fields[index].parse::<i64>().unwrap();
            (fields[5].to_owned(), time(2), time(1), tick)
        })
        .collect()
}

/// Every packet, in order; times but for one shift.
fn assert_same(name: &str, samples: &[&Sample], expected: &[(String, i64, i64, i64)]) {
    let digests: Vec<String> = samples
        .iter()
        .map(|sample| hex::encode(sha2::Sha256::digest(&sample.data)))
        .collect();
    let wanted: Vec<&String> = expected.iter().map(|(digest, ..)| digest).collect();
    assert_eq!(digests.len(), wanted.len(), "{name}");
    for (index, (digest, wanted)) in digests.iter().zip(wanted).enumerate() {
        assert_eq!(digest, wanted, "{name}: packet {index}");
    }
    let shifts: Vec<(i64, i64)> = samples
        .iter()
        .zip(expected)
        .map(|(sample, (_, pts, dts, tick))| (sample.pts.ticks() - pts * tick, sample.dts.ticks() - dts * tick))
        .collect();
    for (kind, shifts) in [
        ("pts", shifts.iter().map(|shift| shift.0).collect::<Vec<_>>()),
        ("dts", shifts.iter().map(|shift| shift.1).collect()),
    ] {
        let spread = shifts.iter().max().unwrap() - shifts.iter().min().unwrap();
        // Matroska's own times are rounded to milliseconds, and the first packet of Opus is 6.5 ms before
        // the start: GStreamer sends it at 0.
        let allowed = match name {
            "o.opus.mkv" => 600 * TICK,
            name if name.ends_with("mkv") => 90 * TICK,
            _ => 2 * TICK,
        };
        assert!(spread <= allowed, "{name}: {kind} off by {} ticks", spread / TICK);
    }
}

async fn plays_every_codec(transport: RtspTransport) {
    let folder = tempfile::tempdir().unwrap();
    let names = files(folder.path());
    let (_server, address) = serve(folder.path(), &["--auth", "digest"], &names);
    let mut playing = tokio::task::JoinSet::new();
    for name in names {
        let source = source(address, &format!("reel:s3cret@/{name}"), transport);
        playing.spawn(async move {
            let collector = Collector::default();
            let reason = collector.play(&source, &CancellationToken::new()).await.unwrap();
            (name, reason, collector.seen())
        });
    }
    while let Some(done) = playing.join_next().await {
        let (name, reason, seen) = done.unwrap();
        assert_eq!(reason, EndReason::Unpublished, "{name}");
        assert_eq!((seen.link.packets_lost, &seen.dropped[..]), (0, &[][..]), "{name}");
        let path = folder.path().join(name);
        if name.ends_with("wav") {
            let format = if name.contains("pcma") { "alaw" } else { "mulaw" };
            let raw = Command::new("ffmpeg")
                .args(["-v", "error", "-nostdin", "-i"])
                .arg(&path)
                .args(["-c", "copy", "-f", format, "-"])
                .output()
                .unwrap();
            let got: Vec<u8> = seen.samples.iter().flat_map(|sample| sample.data.to_vec()).collect();
            assert!(got == raw.stdout, "{name}: {} bytes of {}", got.len(), raw.stdout.len());
            continue;
        }
        let streams = packets_by_track(&path, &seen.tracks);
        for (track, expected) in streams {
            let samples: Vec<&Sample> = seen.samples.iter().filter(|sample| sample.track == track).collect();
            assert_same(name, &samples, &expected);
        }
    }
}

type Packets = Vec<(String, i64, i64, i64)>;

fn packets_by_track(path: &Path, tracks: &[crate::media::TrackConfig]) -> Vec<(crate::media::TrackId, Packets)> {
    tracks
        .iter()
        .map(|track| {
            let stream = match track.kind() {
                crate::media::TrackKind::Video => "0:v",
                crate::media::TrackKind::Audio => "0:a",
            };
            (track.id, packets(path, stream))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_codec_comes_over_tcp_packet_for_packet() {
    plays_every_codec(RtspTransport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_codec_comes_over_udp_packet_for_packet() {
    plays_every_codec(RtspTransport::Udp).await;
}
