//! Gets encoders of ffmpeg and payloaders of GStreamer.
//! Gives a stream twice: as ffprobe reads it from a file, and as RTP packets.

use std::path::Path;
use std::process::Command;

use super::*;

/// A packet of the file.
#[derive(Clone, Debug)]
pub(in crate::ingest) struct Reference {
    pub(in crate::ingest) pts: i64,
    pub(in crate::ingest) dts: i64,
    pub(in crate::ingest) key: bool,
    pub(in crate::ingest) hash: String,
}

/// A stream in both forms.
#[derive(Clone, Debug)]
pub(in crate::ingest) struct Source {
    pub(in crate::ingest) references: Vec<Reference>,
    /// Timescale of the file's track.
    pub(in crate::ingest) timescale: i64,
    pub(in crate::ingest) packets: Vec<Packet>,
    /// The whole file.
    pub(in crate::ingest) file: Vec<u8>,
}

/// What stands in the first box of `kind` in a file, and behind it.
pub(in crate::ingest) fn box_in<'a>(file: &'a [u8], kind: &[u8; 4]) -> &'a [u8] {
    let at = file.windows(4).position(|four| four == kind).unwrap();
    &file[at + 4..]
}

const PICTURES: &str = "testsrc2=s=320x240:r=25:d=4";
const SOUND: &str = "sine=r=48000:d=4";

fn run(program: &str, args: &[&str], folder: &Path) -> Vec<u8> {
    let output = Command::new(program).args(args).current_dir(folder).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Encodes to `file` with ffmpeg and `encoder`'s words.
pub(in crate::ingest) fn source(input: &str, encoder: &str, file: &str, payloader: &str) -> Source {
    let folder = tempfile::tempdir().unwrap();
    let mut args = vec!["-v", "error", "-f", "lavfi", "-i", input];
    args.extend(encoder.split_whitespace());
    args.push(file);
    run("ffmpeg", &args, folder.path());
    let listing = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_packets",
            "-show_data_hash",
            "sha256",
            "-show_entries",
            "packet=pts,dts,flags,data_hash",
            "-of",
            "compact=nk=1:p=0",
            file,
        ],
        folder.path(),
    );
    let references = String::from_utf8(listing)
        .unwrap()
        // Side data has a line of its own, and the hash follows on the next.
        .replace("\n|", "|")
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let fields: Vec<&str> = line.split('|').collect();
            Reference {
                pts: fields[0].parse().unwrap(),
                dts: fields[1].parse().unwrap_or(i64::MIN),
                key: fields[2].contains('K'),
                hash: fields[fields.len() - 1].trim_start_matches("SHA256:").to_owned(),
            }
        })
        .collect();
    let base = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_entries",
            "stream=time_base",
            "-of",
            "compact=nk=1:p=0",
            file,
        ],
        folder.path(),
    );
    let base = String::from_utf8(base).unwrap();
    let timescale = base.trim().split('/').next_back().unwrap().parse().unwrap();
    // Buffered, the sink of GStreamer 1.22 loses some of many small packets.
    let line = format!(
        "-q filesrc location={file} ! {payloader} ! rtpstreampay ! filesink buffer-mode=unbuffered location=rtp"
    );
    run(
        "gst-launch-1.0",
        &line.split_whitespace().collect::<Vec<_>>(),
        folder.path(),
    );
    let mut bytes = bytes::Bytes::from(std::fs::read(folder.path().join("rtp")).unwrap());
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(bytes::Buf::get_u16(&mut bytes));
        packets.push(Packet::parse(bytes.split_to(length)).unwrap());
    }
    Source {
        references,
        timescale,
        packets,
        file: std::fs::read(folder.path().join(file)).unwrap(),
    }
}

const NUMBERS: &str = "timestamp-offset=4294900000 seqnum-offset=65500";

pub(in crate::ingest) fn h264(options: &str, mtu: u32) -> Source {
    h264_of(PICTURES, options, mtu)
}

pub(in crate::ingest) fn h264_of(input: &str, options: &str, mtu: u32) -> Source {
    source(
        input,
        &format!("-pix_fmt yuv420p -c:v libx264 -g 25 -preset veryfast {options}"),
        "a.mp4",
        &format!("qtdemux ! h264parse ! rtph264pay config-interval=-1 mtu={mtu} aggregate-mode=zero-latency {NUMBERS}"),
    )
}

pub(in crate::ingest) fn h265(options: &str, mtu: u32) -> Source {
    source(
        PICTURES,
        &format!("-pix_fmt yuv420p -c:v libx265 -preset ultrafast -tag:v hvc1 {options}"),
        "a.mp4",
        &format!("qtdemux ! h265parse ! rtph265pay config-interval=-1 mtu={mtu} aggregate-mode=zero-latency {NUMBERS}"),
    )
}

pub(in crate::ingest) fn vp8(mtu: u32) -> Source {
    source(
        PICTURES,
        "-pix_fmt yuv420p -c:v libvpx -deadline realtime -cpu-used -8 -lag-in-frames 0 -g 25 -b:v 600k",
        "a.webm",
        &format!("matroskademux ! rtpvp8pay picture-id-mode=2 mtu={mtu} {NUMBERS}"),
    )
}

pub(in crate::ingest) fn vp9(mtu: u32) -> Source {
    source(
        PICTURES,
        "-pix_fmt yuv420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -threads 1 -lag-in-frames 0 -g 25 -b:v 600k",
        "a.webm",
        &format!("matroskademux ! vp9parse ! rtpvp9pay picture-id-mode=2 mtu={mtu} {NUMBERS}"),
    )
}

pub(in crate::ingest) fn opus() -> Source {
    source(
        SOUND,
        "-c:a libopus",
        "a.webm",
        &format!("matroskademux ! opusparse ! rtpopuspay {NUMBERS}"),
    )
}

pub(in crate::ingest) fn aac(payloader: &str) -> Source {
    source(
        SOUND,
        "-c:a aac -b:a 128k",
        "a.mka",
        &format!("matroskademux ! aacparse ! {payloader} {NUMBERS}"),
    )
}

pub(in crate::ingest) fn pcmu() -> Source {
    source(
        "sine=r=8000:d=4",
        "-c:a pcm_mulaw",
        "a.wav",
        &format!("wavparse ! rtppcmupay {NUMBERS}"),
    )
}

/// A stream of each format in small packets, made once: what bad links and bad bytes are tried with.
pub(in crate::ingest) fn each() -> &'static [(Source, Format, u32)] {
    static EACH: std::sync::OnceLock<Vec<(Source, Format, u32)>> = std::sync::OnceLock::new();
    EACH.get_or_init(|| {
        let h264_format = Format::H264 { sets: Vec::new() };
        let h265_format = Format::H265 {
            sets: Vec::new(),
            decoding_order: false,
        };
        vec![
            (h264("-bf 0", 600), h264_format.clone(), 90_000),
            (h264("-bf 3", 600), h264_format, 90_000),
            (
                h265("-x265-params bframes=2:keyint=25:log-level=error", 600),
                h265_format,
                90_000,
            ),
            (vp8(600), Format::Vp8, 90_000),
            (vp9(600), Format::Vp9, 90_000),
            (opus(), Format::Opus { channels: 2 }, 48_000),
        ]
    })
}
