//! Gets H.265 that ffmpeg makes, and streams whose size or codec changes.
//! Gives what ffprobe, ffmpeg and crate mpeg2ts say of the file, whole and recovered after a cut.

use super::*;
use crate::codec::h265::{NalType, Nals, config_from_sets, from_annex_b};
use crate::codec::test_media::{H265Unit, h265, tool};
use crate::mux::ts::recover;

const PLAIN: &str = "-g 10 -x265-params log-level=none:bframes=0";
const B_FRAMES: &str = "-g 25 -bf 3 -x265-params log-level=none:slices=3:bframes=3:b-adapt=0";

fn config(units: &[H265Unit]) -> CodecConfig {
    let [vps, sps, pps] = [NalType::Vps, NalType::Sps, NalType::Pps].map(|kind| units[0].sets(kind));
    CodecConfig::H265(config_from_sets(vps, sps, pps).unwrap())
}

fn samples(units: &[H265Unit], from: i64) -> Vec<Sample> {
    let of = |unit: &H265Unit| Sample {
        track: TrackId(1),
        pts: Timestamp::new(unit.pts + from, Timescale::MPEG),
        dts: Timestamp::new(unit.dts + from, Timescale::MPEG),
        key: unit.key,
        data: unit.sample(false),
    };
    units.iter().map(of).collect()
}

fn on_disk(file: &Memory) -> tempfile::NamedTempFile {
    let disk = tempfile::Builder::new().suffix(".ts").tempfile().unwrap();
    std::fs::write(disk.path(), &file.0).unwrap();
    disk
}

fn probed(file: &Memory, entries: &str) -> Vec<String> {
    let disk = on_disk(file);
    let path = disk.path().to_str().unwrap();
    let arguments = ["-v", "error", "-show_entries", entries, "-of", "csv=p=0", path];
    let text = String::from_utf8(tool("ffprobe", &arguments)).unwrap();
    let lines = text.lines().filter(|line| !line.trim_matches(',').is_empty());
    lines.map(|line| line.trim_matches(',').to_owned()).collect()
}

/// The times of each stream's packets as they should be.
fn wanted(samples: &[Sample]) -> Vec<String> {
    let of = |sample: &Sample| {
        let key = if sample.key { "K_" } else { "__" };
        format!(
            "{},{},{key}",
            sample.pts.ticks() + 900_000,
            sample.dts.ticks() + 900_000
        )
    };
    samples.iter().map(of).collect()
}

fn packets(file: &Memory, stream: usize) -> Vec<String> {
    let lines = probed(file, "packet=stream_index,pts,dts,flags");
    let own = lines.iter().filter_map(|line| line.strip_prefix(&format!("{stream},")));
    own.map(|line| line.split(',').take(3).collect::<Vec<_>>().join(","))
        .collect()
}

#[test]
fn h265_keeps_times_and_slices_and_has_its_sets_before_each_random_access_point() {
    let encoded = h265("testsrc2=size=320x240:rate=25:duration=2", B_FRAMES);
    let codec = config(&encoded);
    let CodecConfig::H265(read_config) = codec.clone() else {
        panic!()
    };
    let samples = samples(&encoded, 0);
    let (file, ends) = muxed(&[track(1, codec)], &samples);
    let found = units(&read(&file));
    assert_eq!(found.len(), samples.len());
    for (unit, sample) in found.iter().zip(&samples) {
        let data = from_annex_b(&unit.data).unwrap();
        let nals: Vec<&[u8]> = Nals::new(&read_config, &data).map(Result::unwrap).collect();
        let kinds: Vec<NalType> = nals.iter().map(|nal| NalType::of(nal)).collect();
        let sets = [NalType::Vps, NalType::Sps, NalType::Pps];
        assert_eq!(kinds[0], NalType::Delimiter);
        assert_eq!(kinds[1..].starts_with(&sets), sample.key);
        assert_eq!(unit.random_access, sample.key);
        let rest = &nals[if sample.key { 4 } else { 1 }..];
        let own: Vec<&[u8]> = Nals::new(&read_config, &sample.data).map(Result::unwrap).collect();
        assert!(rest == own);
    }
    assert_eq!(packets(&file, 0), wanted(&samples));
    let disk = on_disk(&file);
    let path = disk.path().to_str().unwrap();
    let decode = ["-v", "warning", "-i", path, "-map", "0", "-f", "null", "-"];
    let output = std::process::Command::new("ffmpeg").args(decode).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    // Cut within a unit, what is whole stays.
    for cut in [ends[20] as usize + 300, file.0.len() - 1] {
        let mut cut_off = Memory(file.0[..cut].to_vec());
        let whole = ends.iter().filter(|end| **end <= cut as u64).count();
        let (report, _) = recover(&mut cut_off).unwrap();
        assert_eq!(
            (&*report.tracks[0].codec, report.tracks[0].samples),
            ("h265", whole as u64)
        );
        assert_eq!(packets(&cut_off, 0), wanted(&samples[..whole]));
    }
}

#[test]
fn a_hundred_changes_of_size_are_decoded_in_the_order_sent() {
    let small = h265("testsrc2=size=320x240:rate=10:duration=0.3", PLAIN);
    let large = h265("testsrc2=size=640x360:rate=10:duration=0.3", PLAIN);
    let (mut muxer, mut file) = (muxer(), Memory::default());
    let mut sent = Vec::new();
    for round in 0..100 {
        let (units, size) = if round % 2 == 0 {
            (&small, "320,240")
        } else {
            (&large, "640,360")
        };
        muxer.track(&track(1, config(units))).unwrap();
        for given in samples(units, round * 27_000) {
            muxer.sample(&given).unwrap();
            sent.push(size.to_owned());
        }
    }
    muxer.finish(None, &mut file).unwrap();
    assert_eq!(probed(&file, "frame=width,height"), sent);
}

#[test]
fn another_codec_is_another_stream_of_the_table_and_no_unit_is_lost() {
    let later = h265("testsrc2=size=320x240:rate=25:duration=1", PLAIN);
    let (tracks, earlier) = super::flv::encoded(
        "-f lavfi -i testsrc2=s=320x240:r=25:d=1 -c:v libx264 -preset ultrafast -bf 0 -g 10 -pix_fmt yuv420p",
    );
    let h264 = Arc::new(TrackConfig {
        id: TrackId(1),
        ..(*tracks[0]).clone()
    });
    let earlier: Vec<Sample> = earlier
        .into_iter()
        .map(|sample| Sample {
            track: TrackId(1),
            pts: sample
                .pts
                .rescale(Timescale::MPEG, crate::media::Rounding::Nearest)
                .unwrap(),
            dts: sample
                .dts
                .rescale(Timescale::MPEG, crate::media::Rounding::Nearest)
                .unwrap(),
            ..sample
        })
        .collect();
    let later_samples = samples(&later, 90_000);
    let (mut muxer, mut file) = (muxer(), Memory::default());
    // Announced and never used, it is no stream of its own.
    muxer.track(&track(1, config(&later))).unwrap();
    muxer.track(&h264).unwrap();
    earlier.iter().for_each(|sample| muxer.sample(sample).unwrap());
    muxer.track(&track(1, config(&later))).unwrap();
    later_samples.iter().for_each(|sample| muxer.sample(sample).unwrap());
    muxer.finish(None, &mut file).unwrap();
    let read = read(&file);
    let mut tables = Vec::new();
    for packet in &read {
        if let Some(TsPayload::Pmt(pmt)) = &packet.payload {
            let info = &pmt.es_info[0];
            tables.push((
                pmt.version_number.as_u8(),
                info.stream_type as u8,
                info.elementary_pid.as_u16(),
            ));
        }
    }
    tables.dedup();
    assert_eq!(tables, [(0, 0x1b, 0x100), (1, 0x24, 0x101)]);
    assert_sound(&read);
    assert_eq!(packets(&file, 0), wanted(&earlier));
    assert_eq!(packets(&file, 1), wanted(&later_samples));
    let (report, _) = recover(&mut file).unwrap();
    let found: Vec<_> = report
        .tracks
        .iter()
        .map(|track| (&*track.codec, track.samples))
        .collect();
    assert_eq!(found, [("h264", 25), ("h265", 25)]);
}
