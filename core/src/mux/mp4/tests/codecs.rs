//! Gets real H.265, AV1, VP8, VP9 and Opus, made by ffmpeg.
//! Gives the judgement of ffprobe, ffmpeg and the crate mp4 on what the muxer makes of them.

use super::disk::Disk;
use super::media::{assert_judged, layouts};
use super::reader::read_file;
use super::*;
use crate::codec::test_media::{H265Unit, encoded, h265, ivf, ogg};
use crate::codec::{av1, h265 as hevc, opus, vp8, vp9};
use crate::media::{ErrorKind, G711Law, OpusConfig};
use crate::mux::{Finished, mp4::recover};

const PICTURE: &str = "testsrc2=size=320x240:rate=25:duration=2";

fn track(id: u32, timescale: u32, codec: CodecConfig) -> TrackConfig {
    TrackConfig {
        id: TrackId(id),
        timescale: Timescale::new(timescale).unwrap(),
        codec,
    }
}

/// Muxes `given` in every layout, growing, finished and recovered: ffprobe finds `wanted`, packet for
/// packet, and ffmpeg decodes it without a word.
fn judge(track: &TrackConfig, given: &[Sample], wanted: &[Sample]) -> Vec<u8> {
    let tracks = std::slice::from_ref(track);
    let mut last = Vec::new();
    for (name, options, can_insert) in layouts() {
        let mut disk = Disk::new();
        disk.can_insert = can_insert;
        let mut muxer = muxer(options.clone(), tracks);
        for part in given.chunks(17) {
            part.iter().for_each(|sample| muxer.sample(sample).unwrap());
            muxer.flush(&mut disk).unwrap();
        }
        if name == "reserved" {
            assert_judged(&disk.bytes, wanted, tracks, "growing");
        }
        let mut crashed = Disk::with(disk.bytes.clone());
        crashed.can_insert = can_insert;
        let finished = muxer.finish(None, &mut disk).unwrap();
        let (found, recovered) = recover(options, &mut crashed).unwrap();
        assert_eq!(
            (&*found.tracks[0].codec, found.tracks[0].samples),
            (track.codec.name(), wanted.len() as u64)
        );
        for (finished, disk, how) in [(finished, disk, "finished"), (recovered, crashed, "recovered")] {
            last = match finished {
                Finished::InPlace => disk.bytes,
                Finished::WithFront { front, replaces } => [&front, &disk.bytes[replaces as usize..]].concat(),
            };
            if name != "last" || how == "finished" {
                assert_judged(&last, wanted, tracks, &format!("{name}, {how}"));
            }
        }
    }
    last
}

fn h265_config(unit: &H265Unit) -> CodecConfig {
    let [vps, sps, pps] = [hevc::NalType::Vps, hevc::NalType::Sps, hevc::NalType::Pps].map(|kind| unit.sets(kind));
    CodecConfig::H265(hevc::config_from_sets(vps, sps, pps).unwrap())
}

fn h265_samples(units: &[H265Unit], from: i64, sets: bool) -> Vec<Sample> {
    let of = |unit: &H265Unit| {
        let data = unit.sample(sets).to_vec();
        sample(1, Timescale::MPEG, unit.pts + from, unit.dts + from, unit.key, data)
    };
    units.iter().map(of).collect()
}

#[test]
fn h265_with_b_frames_slices_and_repeated_sets_is_stored_without_its_sets() {
    let options = "-g 25 -bf 3 -x265-params log-level=none:repeat-headers=1:slices=3:aud=1:bframes=3:b-adapt=0";
    let units = h265(PICTURE, options);
    assert!(units.iter().any(|unit| unit.pts > unit.dts + 3600), "B-frames");
    assert!(
        units[1].nals.iter().filter(|nal| nal[0] >> 1 < 32).count() >= 2,
        "slices"
    );
    let config = h265_config(&units[0]);
    let CodecConfig::H265(read) = &config else { panic!() };
    assert_eq!((read.width, read.height, read.frame_rate), (320, 240, Some((25, 1))));
    for unit in &units {
        assert_eq!(hevc::is_irap(read, &unit.sample(true)).unwrap(), unit.key);
    }
    let track = track(1, 90_000, config);
    let file = judge(&track, &h265_samples(&units, 0, true), &h265_samples(&units, 0, false));
    let mp4 = mp4::Mp4Reader::read_header(std::io::Cursor::new(&file), file.len() as u64).unwrap();
    let stsd = &mp4.tracks()[&1].trak.mdia.minf.stbl.stsd;
    let hev1 = stsd.hev1.is_some();
    assert!(!hev1, "the sample entry is hvc1");
    assert_eq!(mp4.tracks()[&1].sample_count(), units.len() as u32);
}

#[test]
fn the_record_built_for_h265_is_that_of_ffmpeg() {
    let folder = tempfile::tempdir().unwrap();
    for (source, options) in [
        (PICTURE, "-pix_fmt yuv420p"),
        (
            "testsrc2=size=326x182:rate=30000/1001:duration=1,setsar=4/3",
            "-pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc",
        ),
        ("testsrc2=size=322x244:rate=25:duration=1", "-pix_fmt yuv444p"),
        (
            "testsrc2=size=2560x1440:rate=5:duration=1",
            "-pix_fmt yuv422p -color_range pc",
        ),
    ] {
        let path = folder.path().join("source.mp4");
        let path = path.to_str().unwrap();
        let mut arguments = vec![
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            source,
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
        ];
        arguments.extend(["-x265-params", "log-level=none", "-tag:v", "hvc1"]);
        arguments.extend(options.split(' '));
        arguments.push(path);
        crate::codec::test_media::tool("ffmpeg", &arguments);
        let file = std::fs::read(path).unwrap();
        let at = file.windows(4).position(|four| four == b"hvcC").unwrap();
        let len = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize - 8;
        let theirs = hevc::parse_hvcc(Bytes::copy_from_slice(&file[at + 4..at + 4 + len])).unwrap();
        let ours = hevc::config_from_sets(theirs.vps.clone(), theirs.sps.clone(), theirs.pps.clone()).unwrap();
        let probe = [
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "stream=width,height,sample_aspect_ratio,level",
            "-of",
            "csv=p=0",
            path,
        ];
        let probe = String::from_utf8(crate::codec::test_media::tool("ffprobe", &probe)).unwrap();
        let (horizontal, vertical) = ours.sample_aspect_ratio;
        let told = format!("{},{},{horizontal}:{vertical},{}", ours.width, ours.height, ours.level);
        assert_eq!(probe.trim(), told);
        // Up to avgFrameRate they agree but for what is never told here: min_spatial_segmentation_idc and parallelismType.
        for (index, (our, their)) in ours.hvcc[..19].iter().zip(&theirs.hvcc[..19]).enumerate() {
            assert!(our == their || (13..16).contains(&index), "{source}: byte {index}");
        }
        assert_eq!(ours.hvcc[21] & 0x07, theirs.hvcc[21] & 0x07);
        assert_eq!(
            (&ours.vps, &ours.sps, &ours.pps),
            (&theirs.vps, &theirs.sps, &theirs.pps)
        );
        if options.contains("bt2020") {
            let colour = hevc::colour(&ours).unwrap();
            assert_eq!((colour.primaries, colour.transfer, colour.matrix), (9, 16, 9));
            assert_eq!(ours.profile, 2);
        }
    }
}

/// Each sample's entry as the tables say it.
fn entries(file: &[u8]) -> Vec<Vec<u32>> {
    let tracks = read_file(file);
    let of = |track: &reader::OutTrack| track.samples.iter().map(|sample| sample.entry).collect();
    tracks.iter().map(of).collect()
}

#[test]
fn another_size_of_h265_is_another_entry_whether_announced_or_found_in_band() {
    let options = "-g 10 -x265-params log-level=none:repeat-headers=1:bframes=0";
    let small = h265("testsrc2=size=320x240:rate=25:duration=1", options);
    let large = h265("testsrc2=size=640x360:rate=25:duration=1", options);
    for announced in [true, false] {
        let mut disk = Disk::new();
        let config = |units: &[H265Unit]| track(1, 90_000, h265_config(&units[0]));
        let mut muxer = muxer(options_first(), &[config(&small)]);
        let (mut wanted, mut found_entries) = (Vec::new(), Vec::new());
        for round in 0..10 {
            let (units, entry) = if round % 2 == 0 { (&small, 1) } else { (&large, 2) };
            if announced {
                muxer.track(&config(units)).unwrap();
            }
            let from = round * 90_000;
            for given in h265_samples(units, from, true) {
                muxer.sample(&given).unwrap();
            }
            wanted.extend(h265_samples(units, from, false));
            found_entries.extend(vec![entry; units.len()]);
            if round % 3 == 0 {
                muxer.flush(&mut disk).unwrap();
            }
        }
        muxer.flush(&mut disk).unwrap();
        assert_eq!(entries(&disk.bytes), [found_entries.clone()], "growing");
        let mut crashed = Disk::with(disk.bytes.clone());
        muxer.finish(None, &mut disk).unwrap();
        recover(options_first(), &mut crashed).unwrap();
        assert_eq!(crashed.bytes, disk.bytes, "recovery makes the same file");
        assert_eq!(entries(&disk.bytes), [found_entries]);
        let tracks = [config(&small)];
        assert_holds_data(&disk.bytes, &wanted, &tracks[0]);
        // The sizes that decoders give, in the order sent; and the header has the largest.
        assert_eq!(decoded_sizes(&disk.bytes), [(320, 240), (640, 360)].repeat(5));
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), &disk.bytes).unwrap();
        let mp4 = mp4::Mp4Reader::read_header(std::io::Cursor::new(&disk.bytes), disk.bytes.len() as u64).unwrap();
        let header = &mp4.tracks()[&1].trak.tkhd;
        assert_eq!((header.width.value(), header.height.value()), (640, 360));
    }
}

fn options_first() -> MuxOptions {
    options(true, 64 * 1024)
}

fn assert_holds_data(file: &[u8], wanted: &[Sample], track: &TrackConfig) {
    let found = &read_file(file)[0].samples;
    let wanted = expected(wanted, track);
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!((found.pts, found.dts, found.key), (wanted.pts, wanted.dts, wanted.key));
        assert!(found.data == wanted.data);
    }
}

/// Sizes of the frames that ffmpeg decodes, each once where it changes.
fn decoded_sizes(file: &[u8]) -> Vec<(u32, u32)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.mp4");
    std::fs::write(&path, file).unwrap();
    let arguments = [
        "-v",
        "error",
        "-show_entries",
        "frame=width,height",
        "-of",
        "csv=p=0",
        path.to_str().unwrap(),
    ];
    let text = String::from_utf8(crate::codec::test_media::tool("ffprobe", &arguments)).unwrap();
    let mut sizes: Vec<(u32, u32)> = text
        .lines()
        .filter_map(|line| {
            let (width, height) = line.trim_end_matches(',').split_once(',')?;
            Some((width.parse().ok()?, height.parse().ok()?))
        })
        .collect();
    sizes.dedup();
    sizes
}

#[test]
fn another_codec_of_pictures_is_another_track_of_which_no_access_unit_is_lost() {
    let units = h265(PICTURE, "-g 25 -x265-params log-level=none:bframes=0");
    let stream = encoded(PICTURE, "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25", "ivf");
    let frames = ivf(&stream);
    let vp9_track = track(1, 90_000, CodecConfig::Vp9(vp9::parse_key_frame(&frames[0].1).unwrap()));
    let h265_track = track(1, 90_000, h265_config(&units[0]));
    let mut muxer = muxer(options_first(), &[]);
    let mut disk = Disk::new();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for round in 0..4 {
        let from = round * 180_000;
        if round % 2 == 0 {
            muxer.track(&h265_track).unwrap();
            for given in h265_samples(&units, from, false) {
                muxer.sample(&given).unwrap();
                first.push(given);
            }
        } else {
            muxer.track(&vp9_track).unwrap();
            for (time, data) in &frames {
                let at = from + time * 3600;
                let given = sample(1, Timescale::MPEG, at, at, vp9::is_key(data), data.to_vec());
                muxer.sample(&given).unwrap();
                second.push(Sample {
                    track: TrackId(2),
                    ..given
                });
            }
        }
        muxer.flush(&mut disk).unwrap();
    }
    let mut crashed = Disk::with(disk.bytes.clone());
    muxer.finish(Some(Timestamp::from_ms(8000)), &mut disk).unwrap();
    let (recovered, _) = recover(options_first(), &mut crashed).unwrap();
    let found: Vec<_> = recovered
        .tracks
        .iter()
        .map(|track| (&*track.codec, track.samples))
        .collect();
    assert_eq!(found, [("h265", 100), ("vp9", 100)]);
    let mut samples = first;
    samples.extend(second);
    let tracks = [
        h265_track,
        TrackConfig {
            id: TrackId(2),
            ..vp9_track
        },
    ];
    assert_judged(&disk.bytes, &samples, &tracks, "finished");
    assert_judged(&crashed.bytes, &samples, &tracks, "recovered");
}

#[test]
fn av1_of_each_encoder_and_with_film_grain_is_stored_whole() {
    for options in [
        "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 20 -b:v 300k",
        "-c:v libaom-av1 -cpu-used 8 -g 20 -lag-in-frames 8 -tiles 2x1 -denoise-noise-level 20 -denoise-block-size 16",
        "-c:v libsvtav1 -preset 10 -g 20",
    ] {
        let frames = ivf(&encoded("testsrc2=size=320x240:rate=25:duration=1.6", options, "ivf"));
        let config = av1::config_in(&frames[0].1).unwrap().unwrap();
        assert_eq!((config.width, config.height, config.profile), (320, 240, 0));
        assert_eq!(av1::parse_av1c(config.av1c.clone()).unwrap(), config);
        let samples: Vec<Sample> = frames
            .iter()
            .map(|(time, unit)| {
                let data = av1::to_sample(unit).unwrap();
                assert!(data.len() < unit.len(), "the temporal delimiter is gone");
                let at = time * 3600;
                sample(1, Timescale::MPEG, at, at, av1::is_key(unit), data)
            })
            .collect();
        assert!(samples[0].key && samples.iter().filter(|sample| sample.key).count() >= 2);
        judge(&track(1, 90_000, CodecConfig::Av1(config)), &samples, &samples);
    }
}

/// VP9 whose encoder looks ahead in two passes, so that it hides reference frames in superframes.
fn vp9_with_superframes() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("pass");
    let pass = |number: u8, format: &str| {
        let log = log.to_str().unwrap();
        let options = "-c:v libvpx-vp9 -cpu-used 5 -g 20 -auto-alt-ref 1 -lag-in-frames 16 -b:v 200k";
        let options = format!("{options} -pass {number} -passlogfile {log}");
        encoded(PICTURE, &options, format)
    };
    pass(1, "null");
    pass(2, "ivf")
}

#[test]
fn vp9_of_three_profiles_and_with_hidden_frames_is_stored_whole() {
    let realtime = |options: &str| {
        encoded(
            PICTURE,
            &format!("-c:v libvpx-vp9 -deadline realtime -g 20 {options}"),
            "ivf",
        )
    };
    let superframes = vp9_with_superframes();
    let frames = ivf(&superframes);
    assert!(frames.iter().any(|(_, frame)| frame.last().unwrap() & 0xe0 == 0xc0));
    for (stream, profile, depth) in [
        (superframes, 0, 8),
        (realtime("-cpu-used 8 -pix_fmt yuv420p10le"), 2, 10),
        (realtime("-cpu-used 8 -pix_fmt yuv444p"), 1, 8),
    ] {
        let frames = ivf(&stream);
        let config = vp9::parse_key_frame(&frames[0].1).unwrap();
        assert_eq!(
            (config.width, config.height, config.profile, config.bit_depth),
            (320, 240, profile, depth)
        );
        assert_eq!(vp9::parse_vpcc(&vp9::vpcc(&config), 320, 240).unwrap(), config);
        assert_eq!(vp9::parse_vpcc(&vp9::vpcc(&config)[4..], 320, 240).unwrap(), config);
        let samples: Vec<Sample> = frames
            .iter()
            .map(|(time, data)| {
                sample(
                    1,
                    Timescale::MPEG,
                    time * 3600,
                    time * 3600,
                    vp9::is_key(data),
                    data.to_vec(),
                )
            })
            .collect();
        judge(&track(1, 90_000, CodecConfig::Vp9(config)), &samples, &samples);
    }
}

#[test]
fn vp8_is_stored_whole() {
    let frames = ivf(&encoded(
        PICTURE,
        "-c:v libvpx -deadline realtime -cpu-used 8 -g 20",
        "ivf",
    ));
    let config = vp8::parse_key_frame(&frames[0].1).unwrap();
    assert_eq!((config.width, config.height), (320, 240));
    let samples: Vec<Sample> = frames
        .iter()
        .map(|(time, data)| {
            sample(
                1,
                Timescale::MPEG,
                time * 3600,
                time * 3600,
                vp8::is_key(data),
                data.to_vec(),
            )
        })
        .collect();
    judge(&track(1, 90_000, CodecConfig::Vp8(config)), &samples, &samples);
}

#[test]
fn opus_is_stored_with_its_pre_skip_in_the_edit_list() {
    for options in [
        "-c:a libopus -b:a 64k",
        "-c:a libopus -frame_duration 60 -ac 1 -b:a 24k",
        "-c:a libopus -ac 6 -b:a 200k -frame_duration 10",
    ] {
        let packets = ogg(&encoded(
            "sine=frequency=440:sample_rate=48000:duration=2",
            options,
            "ogg",
        ));
        let config = opus::parse_head(&packets[0]).unwrap();
        assert_eq!(opus::head(&config), packets[0]);
        assert_eq!(opus::parse_dops(&opus::dops(&config)).unwrap(), config);
        let rate = Timescale::new(OpusConfig::RATE).unwrap();
        let mut at = -i64::from(config.pre_skip);
        let samples: Vec<Sample> = packets[2..]
            .iter()
            .map(|packet| {
                let data = sample(1, rate, at, at, true, packet.to_vec());
                if config.mapping.is_none() {
                    assert_eq!(
                        opus::packet_samples(packet).unwrap(),
                        opus::told_samples(packet).unwrap()
                    );
                }
                at += i64::from(opus::told_samples(packet).unwrap());
                data
            })
            .collect();
        let track = track(1, OpusConfig::RATE, CodecConfig::Opus(config));
        let file = judge(&track, &samples, &samples);
        let place = file.windows(8).position(|eight| eight == b"sgpd\x01\0\0\0").unwrap();
        let distance = i16::from_be_bytes(file[place + 20..place + 22].try_into().unwrap());
        let packet = opus::told_samples(&packets[2]).unwrap();
        assert_eq!(i64::from(distance), -i64::from(3840_u32.div_ceil(packet)));
    }
}

#[test]
fn g711_and_vorbis_are_refused_by_name() {
    let mut muxer = muxer(options_first(), &[]);
    let config = crate::codec::g711::config(G711Law::A, 8000, 1).unwrap();
    let error = muxer.track(&track(1, 8000, CodecConfig::G711(config))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("pcma"), "{error}");
}
