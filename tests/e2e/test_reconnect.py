"""A publisher that comes back, and two of one name."""

import media
import publishers
import sources


def test_a_publisher_that_comes_back_in_time_continues_its_file(serve):
    server = serve(record_reconnect_window=20)
    source = sources.second_gop_flv()
    rounds = 4
    for number in range(rounds):
        publishers.run(publishers.load(source, server.url(), seconds=2, abrupt=True))
        server.wait_for("session_interrupted", count=number + 1)
    assert not server.named("session_ended") and not server.named("file_finished")
    assert len(server.named("session_published")) == 1
    assert len(server.named("session_resumed")) == rounds - 1
    server.stop()
    (event,) = server.named("file_finished")
    for track in event["tracks"]:
        causes = [gap["cause"] for gap in track["gaps"]]
        assert causes.count("reconnect") == rounds - 1, track["gaps"]
        assert track["samples_in"] == track["samples_written"] + sum(track["dropped"].values())
    away_ms = sum(resumed["away_ms"] for resumed in server.named("session_resumed"))
    assert event["duration_ms"] >= rounds * 1900 + away_ms - 500
    media.opens(event["path"])


def test_a_publisher_that_does_not_come_back_ends_its_session(serve):
    server = serve(record_reconnect_window=1)
    publishers.run(publishers.load(sources.short_flv(), server.url(), seconds=2, abrupt=True))
    assert server.wait_for("session_interrupted")["reason"] == "connection_lost"
    assert server.wait_for("session_ended")["reason"] == "connection_lost"
    server.finished("load-0")
    server.stop()


def test_a_second_publisher_of_a_name_is_refused_or_takes_over(serve):
    source = sources.second_gop_flv()
    for policy in ("refuse", "take-over"):
        server = serve(publish_duplicate_name=policy)
        with publishers.running(publishers.load(source, server.url())) as first:
            server.wait_for("recording_started")
            second = publishers.subprocess.run(
                publishers.load(source, server.url(), seconds=2), capture_output=True, timeout=60
            )
            if policy == "refuse":
                assert second.returncode != 0
                assert first.poll() is None
                assert len(server.named("session_published")) == 1
            else:
                assert second.returncode == 0
                assert server.wait_for("session_ended")["reason"] == "taken_over"
                server.wait_for("file_finished", count=2)
        server.stop()
