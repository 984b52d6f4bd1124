"""Gets streams that publishers send over RTMP, in an asyncio program.

Gives files: a coroutine callback for each, and all events by `async for`.

    pip install livereel
    python record_async.py --dir records --files 1
"""

import argparse
import asyncio
from pathlib import Path

import livereel


async def record(folder: Path, listen: str, files: int) -> None:
    engine = livereel.Engine(record_dir=folder, rtmp_listen=listen)
    events = engine.events()

    @engine.on_file_finished
    async def upload(file: livereel.FileFinished) -> None:
        # Runs as a task on this event loop; here is where a program would upload the file.
        print(f"{file.path}  {file.duration_ms / 1000:.3f} s  {file.size_bytes} bytes", flush=True)

    async with engine:
        print(f"publish to rtmp://{engine.address('rtmp')}/live/NAME", flush=True)
        async for event in events:
            if isinstance(event, livereel.SessionPublished):
                print(f"{event.stream_name}: published from {event.peer}", flush=True)
            elif isinstance(event, livereel.RecordingFinished):
                files -= event.parts
                if files <= 0:
                    break
    # All files are finished here, and all callbacks have run.


def main() -> None:
    parser = argparse.ArgumentParser(description="Record what is published over RTMP, with asyncio.")
    parser.add_argument("--dir", type=Path, default=Path("records"), help="folder of the files (%(default)s)")
    parser.add_argument("--listen", default="127.0.0.1:1935", help="address; port 0 picks one (%(default)s)")
    parser.add_argument("--files", type=int, default=1, help="stop after so many files (%(default)s)")
    options = parser.parse_args()
    try:
        asyncio.run(record(options.dir, options.listen, options.files))
    except KeyboardInterrupt:
        pass  # asyncio.run has left `async with`, so the files are finished.


if __name__ == "__main__":
    main()
