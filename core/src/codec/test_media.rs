//! Gets elementary streams that ffmpeg makes at test time.
//! Gives their packets, by readers of a few lines for Annex B, IVF and Ogg.

use std::process::Command;

use bytes::Bytes;

use super::h265::{ByteStreamNals, NalType};

/// What a tool puts out.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(name)
        .args(arguments)
        .output()
        .expect("the tool is installed");
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {messages}");
    output.stdout
}

/// What ffmpeg makes of a test picture (`source`, of lavfi) with `options`, in the format `format`.
pub(crate) fn encoded(source: &str, options: &str, format: &str) -> Vec<u8> {
    let mut arguments = vec!["-v", "error", "-f", "lavfi", "-i", source];
    arguments.extend(options.split_whitespace());
    arguments.extend(["-f", format, "-"]);
    tool("ffmpeg", &arguments)
}

/// An access unit of H.265: its NAL units, and times in 90 kHz ticks.
pub(crate) struct H265Unit {
    pub(crate) nals: Vec<Bytes>,
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    pub(crate) key: bool,
}

impl H265Unit {
    /// Length-prefixed, all NAL units but delimiters; parameter sets where `sets` says.
    pub(crate) fn sample(&self, sets: bool) -> Bytes {
        let mut out = Vec::new();
        for nal in &self.nals {
            let kept = match NalType::of(nal) {
                NalType::Delimiter => false,
                NalType::Vps | NalType::Sps | NalType::Pps => sets,
                _ => true,
            };
            if kept {
                out.extend((nal.len() as u32).to_be_bytes());
                out.extend_from_slice(nal);
            }
        }
        out.into()
    }

    pub(crate) fn sets(&self, kind: NalType) -> Vec<Bytes> {
        let own = self.nals.iter().filter(|nal| NalType::of(nal) == kind);
        own.cloned().collect()
    }
}

/// What libx265 makes: the access units, and their times as ffprobe tells them of a transport stream.
pub(crate) fn h265(source: &str, options: &str) -> Vec<H265Unit> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.ts");
    let path = path.to_str().unwrap();
    let options = format!("-c:v libx265 -preset ultrafast -pix_fmt yuv420p -threads 1 {options}");
    std::fs::write(path, encoded(source, &options, "mpegts")).unwrap();
    let stream = tool("ffmpeg", &["-v", "error", "-i", path, "-c", "copy", "-f", "hevc", "-"]);
    let entries = [
        "-v",
        "error",
        "-show_entries",
        "packet=pts,dts,flags",
        "-of",
        "csv=p=0",
        path,
    ];
    let times = String::from_utf8(tool("ffprobe", &entries)).unwrap();
    let mut units: Vec<Vec<Bytes>> = Vec::new();
    let mut has_slice = true;
    for nal in ByteStreamNals::new(&stream) {
        let kind = nal[0] >> 1 & 0x3f;
        // A slice segment that is the first of its picture, or what stands before slices (H.265 section 7.4.2.4.4).
        let opens = if kind < 32 {
            nal[2] & 0x80 != 0
        } else {
            kind <= 35 || kind == 39
        };
        if has_slice && opens {
            units.push(Vec::new());
            has_slice = false;
        }
        has_slice |= kind < 32;
        units.last_mut().unwrap().push(Bytes::copy_from_slice(nal));
    }
    let times: Vec<Vec<&str>> = times
        .lines()
        .map(|line| line.split(',').collect())
        .filter(|line: &Vec<&str>| line.len() > 2)
        .collect();
    assert_eq!(times.len(), units.len());
    let first: i64 = times.iter().map(|time| time[0].parse().unwrap()).min().unwrap();
    let units = units.into_iter().zip(times).map(|(nals, time)| H265Unit {
        nals,
        pts: time[0].parse::<i64>().unwrap() - first,
        dts: time[1].parse::<i64>().unwrap() - first,
        key: time[2].starts_with('K'),
    });
    units.collect()
}

/// Frames of an IVF file with their times in frames.
pub(crate) fn ivf(file: &[u8]) -> Vec<(i64, Bytes)> {
    assert_eq!(&file[..4], b"DKIF");
    let mut frames = Vec::new();
    let mut at = 32;
    while at < file.len() {
        let len = u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let time = i64::from_le_bytes(file[at + 4..at + 12].try_into().unwrap());
        frames.push((time, Bytes::copy_from_slice(&file[at + 12..at + 12 + len])));
        at += 12 + len;
    }
    frames
}

/// Packets of an Ogg file with one stream (RFC 3533 section 6).
pub(crate) fn ogg(file: &[u8]) -> Vec<Bytes> {
    let (mut packets, mut packet) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < file.len() {
        assert_eq!(&file[at..at + 4], b"OggS");
        let segments = usize::from(file[at + 26]);
        let table = &file[at + 27..at + 27 + segments];
        at += 27 + segments;
        for &segment in table {
            packet.extend_from_slice(&file[at..at + usize::from(segment)]);
            at += usize::from(segment);
            if segment < 255 {
                packets.push(Bytes::from(std::mem::take(&mut packet)));
            }
        }
    }
    packets
}
