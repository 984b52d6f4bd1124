//! Gets ten minutes of Opus.
//! Gives what the transcoder costs beside a bare loop of the same libraries. Run it with
//! `cargo test --release -p livereel --lib audio::tests::cost -- --ignored --nocapture`.

use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, Encoder, EncoderParams, Transport};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};
use unsafe_libopus::{opus_decode_float, opus_decoder_create, opus_decoder_destroy};

use super::*;

/// CPU time of this thread in seconds.
fn cpu() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to `now` alone.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    assert_eq!(status, 0);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

fn bare(track: &Track, channels: usize) -> usize {
    let mut status = 0;
    // SAFETY: the arguments are among those allowed.
    let decoder = unsafe { opus_decoder_create(48_000, channels as i32, &raw mut status) };
    let mut resampler = Fft::<f32>::new(48_000, 44_100, 1024, channels, FixedSync::Both).unwrap();
    let encoder = Encoder::new(EncoderParams {
        bit_rate: BitRate::VbrVeryHigh,
        sample_rate: 44_100,
        transport: Transport::Raw,
        channels: if channels == 1 {
            ChannelMode::Mono
        } else {
            ChannelMode::Stereo
        },
        audio_object_type: AudioObjectType::Mpeg4LowComplexity,
    })
    .unwrap();
    let mut decoded = vec![0.0_f32; 5760 * channels];
    let mut resampled = vec![0.0_f32; resampler.output_frames_max() * channels];
    let (mut waiting, mut ready) = (Vec::<f32>::new(), Vec::<i16>::new());
    let mut packet = [0; 2048];
    let mut bytes = 0;
    for (_, data) in &track.packets {
        // SAFETY: the packet's length is its own, the room is for 120 ms.
        let frames =
            unsafe { opus_decode_float(decoder, data.as_ptr(), data.len() as i32, decoded.as_mut_ptr(), 5760, 0) };
        waiting.extend_from_slice(&decoded[..frames as usize * channels]);
        let block = resampler.input_frames_next() * channels;
        while waiting.len() >= block {
            let input = InterleavedSlice::new(&waiting[..block], channels, block / channels).unwrap();
            let room = resampled.len() / channels;
            let mut output = InterleavedSlice::new_mut(&mut resampled, channels, room).unwrap();
            let (_, frames) = resampler.process_into_buffer(&input, &mut output, None).unwrap();
            waiting.drain(..block);
            ready.extend(
                resampled[..frames * channels]
                    .iter()
                    .map(|value| (value * 32_768.0) as i16),
            );
        }
        while ready.len() >= 1024 * channels {
            bytes += encoder
                .encode(&ready[..1024 * channels], &mut packet)
                .unwrap()
                .output_size;
            ready.drain(..1024 * channels);
        }
    }
    // SAFETY: it was made above.
    unsafe { opus_decoder_destroy(decoder) };
    bytes
}

fn whole(track: &Track, channels: u8) -> usize {
    let mut transcoder = Transcoder::new(&track.config, &aac(5, 44_100, channels)).unwrap();
    let mut out = Vec::new();
    let mut bytes = 0;
    for sample in track.samples() {
        transcoder.sample(&sample, &mut out).unwrap();
        bytes += out.drain(..).map(|sample| sample.data.len()).sum::<usize>();
    }
    transcoder.finish(&mut out).unwrap();
    bytes + out.iter().map(|sample| sample.data.len()).sum::<usize>()
}

#[test]
#[ignore = "a measurement of a minute, for a release build"]
fn opus_to_aac_costs_little_more_than_its_libraries() {
    let part = Noise::new().pcm(48_000, 20.0);
    for channels in [1, 2] {
        let pcm: Vec<f32> = std::iter::repeat_n(if channels == 1 { part.clone() } else { doubled(&part) }, 30)
            .flatten()
            .collect();
        let track = opus(&pcm, channels, &["-b:a", if channels == 1 { "64k" } else { "128k" }]);
        let (mut best_bare, mut best_whole) = (f64::MAX, f64::MAX);
        for _ in 0..4 {
            let begin = cpu();
            bare(&track, channels.into());
            best_bare = best_bare.min(cpu() - begin);
            let begin = cpu();
            whole(&track, channels);
            best_whole = best_whole.min(cpu() - begin);
        }
        println!(
            "{channels} channels, 600 s: bare {best_bare:.3} s, transcoder {best_whole:.3} s ({:.0} times real time), {:.3}",
            600.0 / best_whole,
            best_whole / best_bare
        );
    }
}
