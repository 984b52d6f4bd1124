#!/usr/bin/env python3
"""Measures what recording costs: CPU a stream-second and memory a stream, of livereel-server and of
others, with the same streams from the same generator in the same run. Only the ratios travel from one
machine to another.

  livereel    one livereel-server, RTMP to finished MP4
  nginx       one nginx with its RTMP module, FLV as it comes
  ffmpeg      a process a stream, `-listen 1 -c copy` to MP4; fewer streams, for each is heavy
  gstreamer   a process a stream, an FLV file in real time to MP4: it has no RTMP server of its own"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RELEASE = Path(os.environ.get("REEL_TARGET", ROOT / "target")) / "release"
CACHE = Path(os.environ.get("REEL_CACHE", Path.home() / ".cache/livereel"))
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
NGINX_MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so"
DEADLINE_S = 30


@dataclass
class Result:
    """One measurement of one recorder."""

    recorder: str
    streams: int
    cpu_ms_a_stream_second: float
    memory_mib_a_stream: float
    generator_cpu_ms_a_stream_second: float
    max_lag_ms: int


def say(text):
    print(time.strftime("[%H:%M:%S] ") + text, flush=True)


def source():
    """30 s of 720p H.264 and AAC at 2.15 Mb/s, made once."""
    path = CACHE / "media-1" / "bench-720p.flv"
    if not path.exists():
        say("making 30 s of 720p H.264 + AAC at 2.15 Mb/s")
        path.parent.mkdir(parents=True, exist_ok=True)
        growing = path.with_name("growing-" + path.name)
        command = "ffmpeg -v error -nostdin -y -f lavfi -i testsrc2=size=1280x720:rate=30"
        command += " -f lavfi -i sine=frequency=440:sample_rate=48000 -t 30 -c:v libx264 -preset veryfast -bf 2 -g 60"
        command += " -pix_fmt yuv420p -b:v 2000k -minrate 2000k -maxrate 2000k -bufsize 2000k -x264-params nal-hrd=cbr"
        command += " -c:a aac -b:a 128k"
        subprocess.run([*command.split(), growing], check=True)
        growing.rename(path)
    return path


# What the kernel knows of processes.


def cpu_s(pid):
    """User and system time of a process and of those of its children that it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) * TICK_S


def peak_kib(pid):
    """The most memory that was ever resident, shared libraries included."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def children(pid):
    """The processes that a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what):
    """Waits for something that tells nobody when it happens."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"bench: {what} did not happen within {DEADLINE_S} s")
        time.sleep(0.02)


def listens(port):
    """Whether a socket listens on the port; asked of the kernel, for a connection would be taken for a publisher."""
    wanted = f"0100007F:{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(row[1] == wanted and row[3] == "0A" for row in rows)


@contextmanager
def started(command, **options):
    """A process that is gone when the block is left."""
    process = subprocess.Popen([str(word) for word in command], **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


class Meter:
    """CPU and memory of a set of processes from one moment to another."""

    def __init__(self, pids):
        self.pids = pids
        self.cpu_before_s = sum(map(cpu_s, pids))
        self.memory_before_kib = sum(map(peak_kib, pids))

    def cpu_s(self):
        return sum(map(cpu_s, self.pids)) - self.cpu_before_s

    def grown_kib(self):
        return sum(map(peak_kib, self.pids)) - self.memory_before_kib


def publish(urls, streams, seconds):
    """Sends the streams in real time. Returns the generator's summary and its CPU seconds."""
    command = [RELEASE / "livereel-load", "--input", source(), "--publishers", streams, "--seconds", seconds]
    for url in urls:
        command += ["--url", url]
    before = os.times()
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    after = os.times()
    if done.returncode:
        sys.exit(f"bench: livereel-load failed: {done.stdout}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return json.loads(done.stdout), spent


def result(recorder, streams, seconds, cpu, memory_kib, sent, generator_cpu):
    stream_seconds = streams * seconds
    return Result(
        recorder,
        streams,
        cpu * 1000 / stream_seconds,
        memory_kib / 1024 / streams,
        generator_cpu * 1000 / stream_seconds,
        sent["max_lag_ms"],
    )


# The recorders. Each measures from a ready listener to finished files.


def livereel(folder, streams, seconds):
    command = [RELEASE / "livereel-server", "--rtmp-listen", "127.0.0.1:0", "--record-dir", folder]
    with open(folder / "livereel.log", "wb") as log, started(command, stdout=subprocess.PIPE, stderr=log) as server:
        first = json.loads(server.stdout.readline())
        finished = threading.Event()

        def count():
            recordings = 0
            for line in server.stdout:
                recordings += json.loads(line)["event"] == "recording_finished"
                if recordings == streams:
                    finished.set()

        threading.Thread(target=count, daemon=True).start()
        meter = Meter([server.pid])
        sent, generator_cpu = publish([f"rtmp://{first['address']}/live"], streams, seconds)
        if not finished.wait(DEADLINE_S):
            sys.exit(f"bench: livereel-server did not finish {streams} recordings; see {folder}/livereel.log")
        measured = result("livereel", streams, seconds, meter.cpu_s(), meter.grown_kib(), sent, generator_cpu)
        server.send_signal(signal.SIGTERM)
        server.wait(DEADLINE_S)
    check_files(folder, "*.mp4", streams, seconds)
    return measured


def nginx(folder, streams, seconds):
    port = free_port()
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"""{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
load_module {NGINX_MODULE};
events {{ worker_connections 4096; }}
rtmp {{ access_log off; server {{ listen 127.0.0.1:{port}; chunk_size 4096; application live {{
  live on; record all; record_path {folder}; }} }} }}
"""
    )
    with started(["nginx", "-e", folder / "error.log", "-c", config]) as server:
        wait_until(lambda: listens(port) and children(server.pid), "nginx listening")
        meter = Meter([server.pid, *children(server.pid)])
        sent, generator_cpu = publish([f"rtmp://127.0.0.1:{port}/live"], streams, seconds)
        measured = result("nginx", streams, seconds, meter.cpu_s(), meter.grown_kib(), sent, generator_cpu)
        server.send_signal(signal.SIGQUIT)
        server.wait(DEADLINE_S)
    check_files(folder, "*.flv", streams, seconds)
    return measured


def ffmpeg(folder, streams, seconds):
    ports = [free_port() for _ in range(streams)]
    before = os.times()
    with ExitStack() as stack:
        recorders = []
        for index, port in enumerate(ports):
            url = f"rtmp://127.0.0.1:{port}/live"
            command = ["ffmpeg", "-v", "error", "-nostdin", "-listen", 1, "-i", url, "-c", "copy", folder / f"{index}.mp4"]
            recorders.append(stack.enter_context(started(command, stderr=subprocess.DEVNULL)))
        wait_until(lambda: all(map(listens, ports)), "ffmpeg listening")
        peaks = PeakWatch([process.pid for process in recorders])
        sent, generator_cpu = publish([f"rtmp://127.0.0.1:{port}/live" for port in ports], streams, seconds)
        for process in recorders:
            if process.wait(DEADLINE_S):
                sys.exit("bench: an ffmpeg recorder failed")
    memory_kib = peaks.total_kib()
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    check_files(folder, "*.mp4", streams, seconds)
    return result("ffmpeg", streams, seconds, spent - generator_cpu, memory_kib, sent, generator_cpu)


def gstreamer(folder, streams, seconds):
    input_seconds = min(seconds, 30)
    cut = folder / "input.flv"
    subprocess.run(["ffmpeg", "-v", "error", "-i", source(), "-t", str(input_seconds), "-c", "copy", cut], check=True)
    before = os.times()
    with ExitStack() as stack:
        recorders = []
        for index in range(streams):
            pipeline = f"""gst-launch-1.0 -q -e mp4mux name=mux ! filesink location={folder}/{index}.mp4
              filesrc location={cut} ! flvdemux name=demux demux.video ! h264parse ! identity sync=true ! queue ! mux.
              demux.audio ! aacparse ! identity sync=true ! queue ! mux."""
            recorders.append(stack.enter_context(started(pipeline.split())))
        peaks = PeakWatch([process.pid for process in recorders])
        for process in recorders:
            if process.wait(input_seconds + DEADLINE_S):
                sys.exit("bench: a GStreamer pipeline failed")
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    cut.unlink()
    check_files(folder, "*.mp4", streams, input_seconds)
    return result("gstreamer", streams, input_seconds, spent, peaks.total_kib(), {"max_lag_ms": 0}, 0.0)


class PeakWatch:
    """The peak memory of processes that end by themselves: their last reading stands."""

    def __init__(self, pids):
        self.peaks = dict.fromkeys(pids, 0)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self):
        while not self.over.wait(0.2):
            for pid in self.peaks:
                try:
                    self.peaks[pid] = max(self.peaks[pid], peak_kib(pid))
                except (OSError, StopIteration):
                    pass  # it has ended

    def total_kib(self):
        self.over.set()
        self.thread.join()
        return sum(self.peaks.values())


def check_files(folder, pattern, streams, seconds):
    """A recorder that loses media is not measured."""
    files = list(folder.glob(pattern))
    if len(files) != streams:
        sys.exit(f"bench: {len(files)} of {streams} files in {folder}")
    for path in files:
        command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-count_packets", "-of", "csv=p=0"]
        command += ["-show_entries", "stream=nb_read_packets", str(path)]
        packets = int(subprocess.run(command, capture_output=True, text=True).stdout.strip(" \n,") or 0)
        if packets < seconds * 30 - 3:
            sys.exit(f"bench: {path} has {packets} pictures of {seconds * 30}")


RECORDERS = {"livereel": livereel, "nginx": nginx, "ffmpeg": ffmpeg, "gstreamer": gstreamer}


def medians(results):
    """One row a recorder, the median of its runs."""
    rows = {}
    for name in dict.fromkeys(result.recorder for result in results):
        runs = [asdict(result) for result in results if result.recorder == name]
        rows[name] = {
            key: statistics.median(run[key] for run in runs) if isinstance(value, (int, float)) else value
            for key, value in runs[0].items()
        }
        costs = [run["cpu_ms_a_stream_second"] for run in runs]
        rows[name]["cpu_range"] = [min(costs), max(costs)]
    return rows


def print_table(rows):
    ours = rows.get("livereel")
    print(f"\n{'recorder':<11}{'streams':>8}{'CPU ms a stream-s':>19}{'(range)':>15}{'MiB a stream':>14}", end="")
    print(f"{'our CPU':>10}{'our memory':>12}{'generator':>11}")
    for name, row in rows.items():
        low, high = row["cpu_range"]
        print(f"{name:<11}{row['streams']:>8.0f}{row['cpu_ms_a_stream_second']:>19.2f}", end="")
        print(f"{f'({low:.2f}-{high:.2f})':>15}{row['memory_mib_a_stream']:>14.2f}", end="")
        if ours and name != "livereel":
            cpu = ours["cpu_ms_a_stream_second"] / row["cpu_ms_a_stream_second"]
            memory = ours["memory_mib_a_stream"] / max(row["memory_mib_a_stream"], 0.001)
            print(f"{f'x {cpu:.2f}':>10}{f'x {memory:.2f}':>12}", end="")
        else:
            print(f"{'':>22}", end="")
        print(f"{row['generator_cpu_ms_a_stream_second']:>11.2f}")
    print("\nCPU: user and system time of the recorder. Memory: of a server above its idle self, of a process whole.")
    print("Ours over theirs is at the right; below 1 is better. The generator's own cost is not in the figures.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=30, help="for livereel and nginx (30)")
    parser.add_argument("--heavy-streams", type=int, default=8, help="for ffmpeg and GStreamer (8)")
    parser.add_argument("--seconds", type=int, default=30, help="of each run (30)")
    parser.add_argument("--runs", type=int, default=3, help="whose median counts (3)")
    parser.add_argument("--quick", action="store_true", help="one run of 8 s: a look, no figure to keep")
    parser.add_argument("--only", nargs="+", choices=RECORDERS, default=list(RECORDERS), help="some recorders")
    parser.add_argument("--output", type=Path, help="where the JSON goes (the cache folder)")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.runs = 8, 1

    results = []
    # In turns, so that a slow minute of the machine falls on all of them.
    for run in range(options.runs):
        for name in options.only:
            streams = options.streams if name in ("livereel", "nginx") else options.heavy_streams
            folder = Path(tempfile.mkdtemp(prefix=f"livereel-bench-{name}-"))
            try:
                measured = RECORDERS[name](folder, streams, options.seconds)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            results.append(measured)
            say(
                f"run {run + 1} of {options.runs}: {name}, {streams} streams: "
                f"{measured.cpu_ms_a_stream_second:.2f} ms CPU a stream-second, "
                f"{measured.memory_mib_a_stream:.2f} MiB a stream"
            )
    rows = medians(results)
    print_table(rows)
    output = options.output or CACHE / "bench.json"
    machine = {"cpus": os.cpu_count(), "kernel": os.uname().release, "time": time.strftime("%FT%TZ", time.gmtime())}
    facts = {"machine": machine, "seconds": options.seconds, "runs": options.runs, "medians": rows}
    output.write_text(json.dumps({**facts, "results": [asdict(result) for result in results]}, indent=2))
    print(output)


if __name__ == "__main__":
    main()
