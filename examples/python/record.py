"""Gets streams that publishers send over RTMP.

Gives files: prints one line for each, until Ctrl-C or the number of files asked for.

    pip install livereel
    python record.py --dir records &
    ffmpeg -re -i in.mp4 -c copy -f flv rtmp://127.0.0.1:1935/live/test
"""

import argparse
from pathlib import Path

import livereel


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what is published over RTMP.")
    parser.add_argument("--dir", type=Path, default=Path("records"), help="folder of the files (%(default)s)")
    parser.add_argument("--listen", default="127.0.0.1:1935", help="address; port 0 picks one (%(default)s)")
    parser.add_argument("--formats", default="h264-mp4", help="h264-mp4 or h264-ts (%(default)s)")
    parser.add_argument("--rotation", default="disabled", help="new part after 10s, 5m, 100M, ... (%(default)s)")
    parser.add_argument("--files", type=int, default=0, help="stop after so many files; 0 never (%(default)s)")
    options = parser.parse_args()

    engine = livereel.Engine(
        record_dir=options.dir,
        rtmp_listen=options.listen,
        record_formats=options.formats,
        record_rotation=options.rotation,
    )
    events = engine.events()
    finished = 0
    try:
        with engine:
            print(f"publish to rtmp://{engine.address('rtmp')}/live/NAME", flush=True)
            for event in events:
                if isinstance(event, livereel.SessionPublished):
                    codecs = ", ".join(track.codec for track in event.tracks)
                    print(f"{event.stream_name}: published from {event.peer} ({codecs})", flush=True)
                elif isinstance(event, livereel.FileFinished):
                    print(f"{event.path}  {event.duration_ms / 1000:.3f} s  {event.size_bytes} bytes", flush=True)
                    finished += 1
                    if finished == options.files:
                        break
                elif isinstance(event, livereel.RecordingFailed):
                    print(f"{event.stream_name}: {event.message}", flush=True)
    except KeyboardInterrupt:
        # The end of `with` has finished the files that were growing; their events are here.
        for event in events:
            if isinstance(event, livereel.FileFinished):
                print(f"{event.path}  {event.duration_ms / 1000:.3f} s  {event.size_bytes} bytes", flush=True)


if __name__ == "__main__":
    main()
