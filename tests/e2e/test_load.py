"""Many publishers at once: every file is right, and memory stays small."""

from concurrent.futures import ThreadPoolExecutor

import media
import publishers
import pytest
import sources

PUBLISHERS = 100
KIB_A_STREAM = 1.5 * 1024


@pytest.mark.minute
def test_a_hundred_publishers_for_a_minute_lose_nothing_in_little_memory(serve):
    server = serve()
    idle_kib = server.memory_kib("VmRSS")
    done = publishers.run(publishers.load(sources.minute_flv(), server.url(), PUBLISHERS))
    sent = publishers.summary(done.stdout)
    server.wait_for("recording_finished", count=PUBLISHERS)
    kib_a_stream = (server.memory_kib("VmHWM") - idle_kib) / PUBLISHERS
    server.stop()

    files = {event["stream_name"]: event for event in server.named("file_finished")}
    assert len(files) == len(server.named("file_finished")) == PUBLISHERS
    for stream in sent["streams"]:
        for track in files[stream["stream"]]["tracks"]:
            assert track["samples_in"] == track["samples_written"] == stream[track["kind"]], stream

    source = media.source(sources.minute_flv())
    with ThreadPoolExecutor(2) as pool:
        paths = [event["path"] for event in files.values()]
        for path, tracks in zip(paths, pool.map(media.read, paths)):
            media.assert_same(source, tracks)
            media.assert_index_first(path)
    assert kib_a_stream < KIB_A_STREAM, f"{kib_a_stream:.0f} KiB a stream above the idle engine"
