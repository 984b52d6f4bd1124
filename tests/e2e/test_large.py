"""A recording of hundreds of megabytes, faster than real time: its end takes a moment, and writes next to
nothing more. REEL_SOAK=1 makes it 4 GiB."""

import os
import time
from datetime import datetime

import media
import publishers
import pytest
import sources

SOAK = bool(os.environ.get("REEL_SOAK"))
#: Media seconds of 20 Mb/s.
SECONDS = 1720 if SOAK else 120

# A session in a room does not rotate, where another would as its reserve runs out.
RESERVES = [{}, {"mp4_container_moov_first_reserve_space": True, "mp4_container_moov_reserved_space_size": 1}]


@pytest.mark.parametrize("reserve", RESERVES, ids=["no-reserve", "too-small-a-reserve"])
def test_a_large_recording_is_finished_at_once_and_written_once(serve, reserve):
    server = serve(record_threads=1, **reserve)
    source = sources.rated_flv("20M")
    command = publishers.load(source, server.url(), speed=0, seconds=SECONDS, query="room=large")
    done = publishers.run(command, deadline_s=600)
    ended = server.wait_for("session_ended")
    began = time.monotonic()
    event, path = server.finished("load-0", deadline_s=60)
    waited_ms = (time.monotonic() - began) * 1000
    written = server.written_bytes()
    media.assert_index_first(path)
    payload = path.stat().st_size
    print(f"{payload >> 20} MiB; stop to file_finished {_gap_ms(ended, event):.0f} ms (seen in {waited_ms:.0f} ms); "
          f"written {written / payload:.4f} of it; peak {server.memory_kib() >> 10} MiB")
    assert written <= payload * 1.02
    assert _gap_ms(ended, event) < 2000
    assert server.memory_kib() < 96 * 1024
    for track in event["tracks"]:
        assert track["samples_in"] == track["samples_written"] and not track["gaps"]
    assert publishers.summary(done.stdout)["streams"][0]["last_ms"] >= (SECONDS - 1) * 1000
    server.stop()
    path.unlink()


def _gap_ms(first, second):
    moments = [datetime.fromisoformat(event["time"].replace("Z", "+00:00")) for event in (first, second)]
    return (moments[1] - moments[0]).total_seconds() * 1000
