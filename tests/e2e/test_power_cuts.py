"""Power cuts at random moments, while files grow, finish and rotate: nothing under a final name is empty or
torn, and what is missing is a fragment and the sync interval at most. REEL_SOAK=1 cuts 50 times, the
default run 6 times."""

import contextlib
import os
import random

import disks
import media
import publishers
import pytest
import sources

SOAK = bool(os.environ.get("REEL_SOAK"))
CUTS = range(50 if SOAK else 6)

SYNC_INTERVAL_MS = 1000
#: A fragment (the promise of SIGKILL), and what the publisher sends until it knows.
FRAGMENT_MS = 1000
NOTICE_MS = 150


def cut_while(moment, server, disk, dice):
    """Publishes in real time and cuts the power; tells the last time that was sent."""
    command = publishers.load(sources.second_gop_flv(), server.url())
    with publishers.running(command) as publisher:
        server.wait_for("recording_started")
        with pytest.raises(publishers.subprocess.TimeoutExpired):
            publisher.wait(dice.uniform(2, 5))
        if moment == "finishing":
            # The whole finish takes some tens of milliseconds here: the cut falls into it, or just behind.
            server.process.terminate()
            with contextlib.suppress(publishers.subprocess.TimeoutExpired):
                server.process.wait(dice.uniform(0.0005, 0.06))
        disk.cut_power()
        server.kill()
        output, _ = publisher.communicate(timeout=30)
    return publishers.summary(output)["streams"][0]["last_ms"]


@disks.needs_root
@pytest.mark.parametrize("cut", CUTS)
def test_a_power_cut_leaves_nothing_torn_and_little_missing(serve, tmp_path, cut):
    dice = random.Random(cut)
    formats = ["h264-mp4", "h264-ts"][cut % 2]
    moment = ["growing", "finishing", "rotating"][cut // 2 % 3]
    rotation = "1s" if moment == "rotating" else "disabled"
    with disks.ext4(tmp_path) as disk:
        folder = disk.folder / "records"
        server = serve(folder=folder, record_formats=formats, record_rotation=rotation)
        sent_ms = cut_while(moment, server, disk, dice)
        disk.unmount()
        disk.mount()
        for path in folder.iterdir():
            assert path.stat().st_size > 0 or "growing" in path.name, f"{path.name} is empty"

        again = serve(folder=folder, record_formats=formats)
        again.stop()
        recovered = {event["part"]: event for event in again.named("recovered")}
        assert len(recovered) == len(again.named("recovered")), "a part was told twice"
        told = {event["part"]: event for event in server.named("file_finished")}
        # A part that was told is on the disk for good; recovery may tell the last ones once more.
        parts = {**told, **recovered}
        assert sorted(parts) == list(range(1, len(parts) + 1)), sorted(parts)
        paths = [event["path"] for _, event in sorted(parts.items())]
        assert {path.name for path in folder.iterdir()} == {event["file_name"] for event in parts.values()}
        for path in paths:
            media.opens(path)
        end_ms = media.assert_parts_are_beginning(media.source(sources.second_gop_flv()), paths)
        missing_ms = sent_ms - end_ms
        limit_ms = SYNC_INTERVAL_MS + FRAGMENT_MS + NOTICE_MS
        assert missing_ms <= limit_ms, f"{missing_ms:.0f} ms of {sent_ms} are missing while {moment}"

        last = serve(folder=folder, record_formats=formats)
        last.stop()
        assert not last.named("recovered")
