"""The comparison itself: it finds what it must, and says nothing of what is right."""

import copy

import media
import pytest
import sources


@pytest.fixture
def recording():
    return copy.deepcopy(media.source(sources.short_flv()))


def judge(recording):
    media.assert_same(media.source(sources.short_flv()), recording)


def test_a_shift_of_all_tracks_and_half_a_millisecond_of_rounding_are_fine(recording):
    for track in recording.values():
        for index, packet in enumerate(track.packets):
            packet.pts_ms += 1400.0 + 0.5 * (index % 2)
            packet.dts_ms += 1400.0
    judge(recording)


def test_a_shift_of_one_track_is_found(recording):
    for packet in recording["audio"].packets:
        packet.pts_ms += 3.0
        packet.dts_ms += 3.0
    with pytest.raises(AssertionError, match="timestamps differ"):
        judge(recording)


def test_one_wrong_time_is_found(recording):
    recording["video"].packets[70].pts_ms += 33.0
    with pytest.raises(AssertionError, match="timestamps differ"):
        judge(recording)


@pytest.mark.parametrize("index", [0, 70, -1])
def test_a_lost_packet_is_found(recording, index):
    del recording["video"].packets[index]
    with pytest.raises(AssertionError, match="video"):
        judge(recording)


def test_a_changed_byte_is_found(recording):
    recording["audio"].packets[5].hash = "0"
    with pytest.raises(AssertionError, match="audio packet 5 differs"):
        judge(recording)


def test_a_missing_track_is_found(recording):
    del recording["audio"]
    with pytest.raises(AssertionError, match="tracks differ"):
        judge(recording)
