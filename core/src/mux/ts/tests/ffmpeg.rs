//! Gets real media through the muxer.
//! Gives what ffprobe, ffmpeg and crate mpeg2ts say of the file.

use std::process::Command;

use super::flv::{AUDIO, VIDEO, encoded};
use super::*;
use crate::codec::h264::{NalType, Nals, from_annex_b};

const H264_AAC: &str = "-f lavfi -i testsrc2=s=320x180:r=30:d=5 -f lavfi -i sine=f=440:r=44100:d=5 \
     -c:v libx264 -preset veryfast -bf 3 -g 30 -b:v 2M -pix_fmt yuv420p -c:a aac -b:a 96k";
const H264_MP3: &str = "-f lavfi -i testsrc2=s=320x180:r=25:d=3 -f lavfi -i sine=f=440:r=48000:d=3 \
     -c:v libx264 -preset veryfast -bf 2 -g 25 -pix_fmt yuv420p -c:a libmp3lame -b:a 128k -ar 44100";
const AAC_ALONE: &str = "-f lavfi -i sine=f=440:r=48000:d=5 -c:a aac -b:a 64k";
const MP3_LOW_RATE_ALONE: &str = "-f lavfi -i sine=f=440:r=22050:d=3 -c:a libmp3lame -b:a 32k";
/// Pictures of over 64 KiB, whose PES header does not tell their length.
const LARGE_PICTURES: &str = "-f lavfi -i testsrc2=s=640x360:r=10:d=2,noise=alls=60:allf=t \
     -c:v libx264 -preset ultrafast -qp 4 -bf 0 -g 10 -pix_fmt yuv420p";

const ALL: [&str; 5] = [H264_AAC, H264_MP3, AAC_ALONE, MP3_LOW_RATE_ALONE, LARGE_PICTURES];

fn on_disk(file: &Memory) -> tempfile::NamedTempFile {
    let disk = tempfile::Builder::new().suffix(".ts").tempfile().unwrap();
    std::fs::write(disk.path(), &file.0).unwrap();
    disk
}

fn ticks(time: Timestamp) -> i64 {
    time.ticks() * 90 + 900_000
}

/// A sample's NAL units without delimiters and parameter sets, or its frame.
fn essence(track: &TrackConfig, data: &[u8]) -> Vec<Vec<u8>> {
    match &track.codec {
        CodecConfig::H264(config) => Nals::new(config, data)
            .map(|nal| nal.unwrap().to_vec())
            .filter(|nal| !matches!(NalType::of(nal), NalType::Delimiter | NalType::Sps | NalType::Pps))
            .collect(),
        _ => vec![data.to_vec()],
    }
}

#[test]
fn an_independent_reader_finds_every_byte_and_time_of_the_source() {
    for source in ALL {
        let (tracks, samples) = encoded(source);
        let packets = read(&muxed(&tracks, &samples).0);
        assert_sound(&packets);
        let units = units(&packets);
        assert_eq!(units.len(), samples.len(), "{source}");
        assert_eq!(
            source == LARGE_PICTURES,
            units.iter().all(|unit| unit.data.len() > 65_535)
        );
        for (unit, sample) in units.iter().zip(&samples) {
            let index = tracks.iter().position(|track| track.id == sample.track).unwrap();
            assert_eq!(unit.pid, 0x100 + index as u16);
            assert_eq!(
                (unit.pts as i64, unit.dts as i64),
                (ticks(sample.pts), ticks(sample.dts))
            );
            let data = match &tracks[index].codec {
                CodecConfig::H264(_) => from_annex_b(&unit.data).unwrap(),
                CodecConfig::Aac(config) => {
                    let frame = crate::codec::aac::parse_adts_header(&unit.data).unwrap();
                    assert_eq!(
                        (frame.frame_bytes, frame.config.sample_rate),
                        (unit.data.len(), config.sample_rate)
                    );
                    unit.data[7..].to_vec()
                }
                CodecConfig::Mp3(_) => unit.data.clone(),
                other => panic!("{} is not published here", other.name()),
            };
            assert!(
                essence(&tracks[index], &data) == essence(&tracks[index], &sample.data),
                "{source}"
            );
        }
    }
}

#[test]
fn key_frames_have_tables_delimiter_parameter_sets_and_a_random_access_flag() {
    let (tracks, samples) = encoded(H264_AAC);
    let packets = read(&muxed(&tracks, &samples).0);
    let keys: Vec<bool> = samples
        .iter()
        .filter(|sample| sample.track == VIDEO)
        .map(|sample| sample.key)
        .collect();
    let video = tracks.iter().position(|track| track.id == VIDEO).unwrap() as u16 + 0x100;
    let units: Vec<ReadUnit> = units(&packets).into_iter().filter(|unit| unit.pid == video).collect();
    assert!(keys.iter().filter(|key| **key).count() >= 4);
    for (unit, key) in units.iter().zip(keys) {
        assert_eq!(unit.random_access, key);
        assert!(!key || unit.pcr.is_some());
        let sample = from_annex_b(&unit.data).unwrap();
        let CodecConfig::H264(config) = &tracks[usize::from(video - 0x100)].codec else {
            panic!()
        };
        let kinds: Vec<NalType> = Nals::new(config, &sample)
            .map(|nal| NalType::of(nal.unwrap()))
            .collect();
        assert_eq!(kinds[0], NalType::Delimiter);
        assert_eq!(kinds.iter().filter(|kind| **kind == NalType::Delimiter).count(), 1);
        assert_eq!(kinds[1..].starts_with(&[NalType::Sps, NalType::Pps]), key);
    }
    for (at, packet) in packets.iter().enumerate() {
        let field = packet.adaptation_field.as_ref();
        if packet.header.pid.as_u16() == video && field.is_some_and(|field| field.random_access_indicator) {
            assert!(matches!(packets[at - 1].payload, Some(TsPayload::Pmt(_))));
            assert!(matches!(packets[at - 2].payload, Some(TsPayload::Pat(_))));
        }
    }
}

#[test]
fn the_tables_are_repeated_within_a_tenth_of_a_second() {
    for source in ALL {
        let (tracks, samples) = encoded(source);
        let packets = read(&muxed(&tracks, &samples).0);
        // The tables are as old as the unit behind them.
        let (mut latest, mut times, mut fresh) = (0, Vec::new(), false);
        for packet in &packets {
            match &packet.payload {
                Some(TsPayload::PesStart(pes)) => {
                    latest = latest.max(pes.header.dts.or(pes.header.pts).unwrap().as_u64());
                    if std::mem::take(&mut fresh) {
                        times.push(latest);
                    }
                }
                Some(TsPayload::Pat(_)) => fresh = true,
                _ => {}
            }
        }
        times.push(latest);
        let worst = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(worst > 0 && worst <= 9000, "{worst} ticks: {source}");
    }
}

#[test]
fn ffprobe_lists_the_times_of_the_source() {
    for source in ALL {
        let (tracks, samples) = encoded(source);
        let disk = on_disk(&muxed(&tracks, &samples).0);
        let output = Command::new("ffprobe")
            .args([
                "-v",
                "warning",
                "-show_entries",
                "packet=stream_index,pts,dts,flags",
                "-of",
                "csv=p=0",
            ])
            .arg(disk.path())
            .output()
            .unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        for (index, track) in tracks.iter().enumerate() {
            let listed: Vec<(i64, i64, bool)> = String::from_utf8_lossy(&output.stdout)
                .lines()
                .filter_map(|line| {
                    let fields: Vec<&str> = line.split(',').collect();
                    let wanted = fields[0] == index.to_string();
                    wanted.then(|| {
                        (
                            fields[1].parse().unwrap(),
                            fields[2].parse().unwrap(),
                            fields[3].starts_with('K'),
                        )
                    })
                })
                .collect();
            let expected: Vec<(i64, i64, bool)> = samples
                .iter()
                .filter(|sample| sample.track == track.id)
                .map(|sample| (ticks(sample.pts), ticks(sample.dts), sample.key))
                .collect();
            assert_eq!(listed, expected, "{source}");
        }
    }
}

#[test]
fn ffmpeg_decodes_it_without_a_word_to_the_pictures_of_the_source() {
    for source in [H264_AAC, H264_MP3, LARGE_PICTURES] {
        let (tracks, samples) = encoded(source);
        let disk = on_disk(&muxed(&tracks, &samples).0);
        let decoded = Command::new("ffmpeg")
            .args(["-v", "warning", "-i"])
            .arg(disk.path())
            .args(["-map", "0", "-f", "null", "-"])
            .output()
            .unwrap();
        assert!(
            decoded.status.success() && decoded.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&decoded.stderr)
        );

        let mut elementary = Vec::new();
        for sample in samples.iter().filter(|sample| sample.track == VIDEO) {
            let track = tracks.iter().find(|track| track.id == VIDEO).unwrap();
            let CodecConfig::H264(config) = &track.codec else {
                panic!()
            };
            crate::codec::h264::to_annex_b(config, &sample.data, sample.key, &mut elementary).unwrap();
        }
        let plain = tempfile::Builder::new().suffix(".h264").tempfile().unwrap();
        std::fs::write(plain.path(), elementary).unwrap();
        let pictures = |path: &std::path::Path| {
            let output = Command::new("ffmpeg")
                .args(["-v", "error", "-i"])
                .arg(path)
                .args(["-map", "0:v", "-vsync", "passthrough", "-f", "framemd5", "-"])
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines
                .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(pictures(disk.path()), pictures(plain.path()));
    }
}

#[test]
fn the_same_samples_give_the_same_bytes_however_they_are_flushed() {
    let (tracks, samples) = encoded(H264_AAC);
    let (flushed_often, _) = muxed(&tracks, &samples);
    let (mut muxer, mut file) = (muxer(), Memory::default());
    tracks.iter().for_each(|track| muxer.track(track).unwrap());
    samples.iter().for_each(|sample| muxer.sample(sample).unwrap());
    muxer.finish(None, &mut file).unwrap();
    assert!(file == flushed_often);
    assert!(samples.iter().any(|sample| sample.track == AUDIO));
}
