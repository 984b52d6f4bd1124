"""Records sound that this program has encoded itself: frames of an ADTS file, pushed one by one.

    python push.py sound.aac records
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import livereel

RATE = 48_000
FRAME_SAMPLES = 1024


def frames(data: bytes) -> Iterator[bytes]:
    """The frames of an ADTS stream; the header tells the length (ISO/IEC 13818-7 section 6.2)."""
    while data:
        length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        yield data[:length]
        data = data[length:]


def main(source: str, folder: str) -> None:
    with livereel.Engine(record_dir=folder) as engine:
        engine.on_file_finished(lambda file: print(file.path, file.duration_ms, "ms"))
        with engine.push(Path(source).stem) as push:
            track = push.track("aac", timescale=RATE)
            for number, frame in enumerate(frames(Path(source).read_bytes())):
                while not push.push(track, frame, pts=number * FRAME_SAMPLES):
                    push.wait()  # A recording is behind: nothing was taken.


if __name__ == "__main__":
    main(*sys.argv[1:])
