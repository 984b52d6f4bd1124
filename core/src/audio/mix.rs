//! Gets interleaved sound of any number of channels.
//! Gives it in one or two.
//!
//! Mono to stereo: both sides at full level. Stereo to mono: half of each, which cannot overload.
//! More: down to stereo by ITU-R BS.775 (centre and surrounds at -3 dB, no low-frequency channel), then
//! as much softer as keeps full scale on all channels within full scale.

use std::f32::consts::FRAC_1_SQRT_2;

/// Largest sample value let through, full scale being 1: decoders overshoot a little, broken input
/// makes them put out anything.
const MOST: f32 = 4.0;

/// What a channel gives to left and right.
type Gains = (f32, f32);

const LEFT: Gains = (1.0, 0.0);
const RIGHT: Gains = (0.0, 1.0);
const CENTRE: Gains = (FRAC_1_SQRT_2, FRAC_1_SQRT_2);
const SURROUND_LEFT: Gains = (FRAC_1_SQRT_2, 0.0);
const SURROUND_RIGHT: Gains = (0.0, FRAC_1_SQRT_2);
const BACK: Gains = (0.5, 0.5);
const NONE: Gains = (0.0, 0.0);

/// Channels in the order of Vorbis I section 4.3.9, which Opus has too (RFC 7845 section 5.1.1.2).
fn layout(channels: usize) -> &'static [Gains] {
    match channels {
        3 => &[LEFT, CENTRE, RIGHT],
        4 => &[LEFT, RIGHT, SURROUND_LEFT, SURROUND_RIGHT],
        5 => &[LEFT, CENTRE, RIGHT, SURROUND_LEFT, SURROUND_RIGHT],
        6 => &[LEFT, CENTRE, RIGHT, SURROUND_LEFT, SURROUND_RIGHT, NONE],
        7 => &[LEFT, CENTRE, RIGHT, SURROUND_LEFT, SURROUND_RIGHT, BACK, NONE],
        8 => &[
            LEFT,
            CENTRE,
            RIGHT,
            SURROUND_LEFT,
            SURROUND_RIGHT,
            SURROUND_LEFT,
            SURROUND_RIGHT,
            NONE,
        ],
        // No order is agreed on: the front.
        _ => &[LEFT, RIGHT],
    }
}

/// Appends `pcm` of `from` channels to `out` with `to` channels (1 or 2). What is no number becomes
/// silence.
pub(super) fn mix(pcm: &[f32], from: usize, to: usize, out: &mut Vec<f32>) {
    match (from, to) {
        (1, 1) | (2, 2) => out.extend(pcm.iter().map(|value| tame(*value))),
        (1, _) => out.extend(pcm.iter().flat_map(|value| [tame(*value); 2])),
        (2, _) => out.extend(pcm.as_chunks().0.iter().map(|[left, right]| tame((left + right) * 0.5))),
        _ => {
            let layout = layout(from);
            let total = layout.iter().map(|gains| gains.0).sum::<f32>().max(1.0);
            for frame in pcm.chunks_exact(from.max(1)) {
                let (mut left, mut right) = (0.0, 0.0);
                for (value, gains) in frame.iter().zip(layout) {
                    left += value * gains.0;
                    right += value * gains.1;
                }
                let (left, right) = (tame(left / total), tame(right / total));
                if to == 1 {
                    out.push((left + right) * 0.5);
                } else {
                    out.extend_from_slice(&[left, right]);
                }
            }
        }
    }
}

fn tame(value: f32) -> f32 {
    if value.is_nan() { 0.0 } else { value.clamp(-MOST, MOST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(pcm: &[f32], from: usize, to: usize) -> Vec<f32> {
        let mut out = Vec::new();
        mix(pcm, from, to, &mut out);
        out
    }

    #[test]
    fn mono_goes_to_both_sides_and_stereo_to_half_of_each() {
        assert_eq!(mixed(&[0.5, -1.0], 1, 2), [0.5, 0.5, -1.0, -1.0]);
        assert_eq!(mixed(&[1.0, 0.5, -1.0, 1.0], 2, 1), [0.75, 0.0]);
    }

    #[test]
    fn full_scale_on_all_channels_stays_within_full_scale() {
        for channels in 3..=8 {
            for to in [1, 2] {
                let out = mixed(&vec![1.0; channels], channels, to);
                assert_eq!(out.len(), to);
                assert!(
                    out.iter().all(|value| (0.99..=1.0001).contains(value)),
                    "{channels}: {out:?}"
                );
            }
        }
    }

    #[test]
    fn the_centre_of_a_surround_mix_is_heard_on_both_sides_and_its_bass_channel_on_none() {
        let centre = mixed(&[0.0, 1.0, 0.0, 0.0, 0.0, 0.0], 6, 2);
        assert!(
            centre[0] == centre[1] && (centre[0] - 0.2929).abs() < 0.001,
            "{centre:?}"
        );
        assert_eq!(mixed(&[0.0, 0.0, 0.0, 0.0, 0.0, 1.0], 6, 2), [0.0, 0.0]);
    }

    #[test]
    fn what_is_no_number_becomes_silence() {
        assert_eq!(mixed(&[f32::NAN, f32::INFINITY], 2, 2), [0.0, MOST]);
    }
}
