//! Decode times out of presentation times.

use std::collections::VecDeque;

use super::super::dts::DecodeTimes;
use super::network::Random;

fn times(told: Option<usize>, shown: &[i64]) -> Vec<(i64, i64)> {
    let mut times = DecodeTimes::new(told);
    let mut out = VecDeque::new();
    for &pts in shown {
        times.push(pts, (), &mut out);
    }
    times.flush(&mut out);
    out.into_iter().map(|timed| (timed.pts, timed.dts)).collect()
}

fn decoded(told: Option<usize>, shown: &[i64]) -> Vec<i64> {
    times(told, shown).into_iter().map(|(_, dts)| dts).collect()
}

#[test]
fn without_b_frames_each_picture_is_decoded_when_it_is_shown() {
    assert_eq!(decoded(Some(0), &[5, 7, 11]), [5, 7, 11]);
    assert_eq!(decoded(None, &[5, 7, 11]), [5, 7, 11]);
}

#[test]
fn a_told_depth_moves_the_first_pictures_before_the_first_one_shown() {
    assert_eq!(
        decoded(Some(1), &[0, 30, 10, 20, 60, 40, 50]),
        [-10, 0, 10, 20, 30, 40, 50]
    );
    assert_eq!(
        decoded(Some(2), &[0, 40, 20, 10, 30, 80, 60, 50, 70]),
        [-20, -10, 0, 10, 20, 30, 40, 50, 60]
    );
}

#[test]
fn a_depth_that_is_not_told_is_learned() {
    assert_eq!(
        decoded(None, &[0, 40, 20, 10, 30, 80, 60, 50, 70]),
        [-20, -10, 0, 10, 20, 30, 40, 50, 60]
    );
}

#[test]
fn times_rise_strictly_and_never_pass_the_presentation_whatever_comes() {
    let mut random = Random(99);
    for _ in 0..500 {
        let told = match random.below(20) {
            0 => None,
            depth => Some(depth as usize),
        };
        let shown: Vec<i64> = (0..60).map(|_| random.below(1000) as i64 - 500).collect();
        let times = times(told, &shown);
        assert_eq!(times.len(), shown.len());
        for pair in times.windows(2) {
            assert!(pair[0].1 < pair[1].1);
        }
        assert!(times.iter().all(|(pts, dts)| dts <= pts));
    }
}

#[test]
fn b_frames_that_begin_after_the_learning_cost_those_of_one_group_their_place() {
    let mut shown: Vec<i64> = (0..40).map(|index| index * 10).collect();
    shown.extend([430, 410, 420, 460, 440, 450, 490, 470, 480]);
    let times = times(None, &shown);
    let moved = times
        .iter()
        .zip(&shown)
        .filter(|((pts, _), wanted)| pts != *wanted)
        .count();
    assert!(moved <= 2, "{moved}");
}
