"""SIGKILL at any moment and any bit rate: every file opens as it lies, is finished by the next start, is
told once, and is short of at most a second. REEL_SOAK=1 kills 300 recordings, the default run 60."""

import os
import random
import shutil
from pathlib import Path

import media
import publishers
import pytest
import sources

SOAK = bool(os.environ.get("REEL_SOAK"))
STREAMS = 10
KILLS = 5 if SOAK else 1

#: What may be missing of what was sent: the promise. Until the publisher knows that its server is
#: gone it goes on sending for a moment, which the server never saw.
MOST_MISSING_MS = 1000
NOTICE_MS = 150


@pytest.mark.parametrize("kill", range(KILLS))
@pytest.mark.parametrize("rate", ["64k", "1M", "20M"])
@pytest.mark.parametrize("formats", ["h264-mp4", "h264-ts"], ids=["mp4", "ts"])
def test_a_kill_at_a_random_moment_costs_at_most_a_second(serve, formats, rate, kill):
    dice = random.Random(f"{formats} {rate} {kill}")
    server = serve(record_formats=formats)
    command = publishers.load(sources.rated_flv(rate), server.url(), publishers=STREAMS)
    with publishers.running(command) as publisher:
        server.wait_for("recording_started", count=STREAMS)
        with pytest.raises(publishers.subprocess.TimeoutExpired):
            publisher.wait(dice.uniform(1.5, 6))
        server.kill()
        output, _ = publisher.communicate(timeout=60)
    sent_ms = {stream["stream"]: stream["last_ms"] for stream in publishers.summary(output)["streams"]}

    growing = server.growing()
    assert len(growing) == STREAMS
    for path in growing:
        media.opens(path)

    again = serve(folder=server.folder, record_formats=formats)
    again.stop()
    recovered = {event["stream_name"]: event for event in again.named("recovered")}
    assert len(again.named("recovered")) == len(recovered) == STREAMS, again.log.read_text()[-2000:]
    for stream, event in recovered.items():
        missing_ms = sent_ms[stream] - event["end_time_ms"]
        assert missing_ms <= MOST_MISSING_MS + NOTICE_MS, f"{missing_ms} ms of {sent_ms[stream]} are missing"
    media.assert_decodes_silently(Path(recovered["load-0"]["path"]))
    shutil.rmtree(server.folder)
