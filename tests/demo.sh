#!/usr/bin/env bash
# Records a live stream: starts livereel-server, lets ffmpeg publish 6 seconds over RTMP in real time,
# and ends with the path of the MP4. Files go to ${RECORDS:-records}; each run adds one.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

deadline_s=30
records=$(realpath -m "${RECORDS:-records}")
mkdir -p "$records"
log=$records/livereel-server.log

say "demo: livereel-server starts"
coproc SERVER {
  exec "$REEL_TARGET/release/livereel-server" --rtmp-listen 127.0.0.1:0 --record-dir "$records" 2>"$log"
}
server=$SERVER_PID
exec {events}<&"${SERVER[0]}"
trap 'kill "$server" 2>/dev/null || true' EXIT

# Reads events up to the one of this name and keeps it in $event.
wait_for() {
  while read -r -t $deadline_s -u "$events" event; do
    case $event in *"\"event\":\"$1\""*) return ;; esac
  done
  say "demo: no event $1 within $deadline_s s; the server's log:"
  tail -n 20 "$log"
  exit 1
}

# A field of the event, without its quotes.
field() { printf '%s' "$event" | sed -nE "s/.*\"$1\":\"?([^\",}]*)\"?.*/\1/p"; }

wait_for listening
address=$(field address)
say "demo: ffmpeg publishes 6 s of H.264 and AAC to rtmp://$address/live/demo, in real time"
ffmpeg -v error -nostdin -re \
  -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440:sample_rate=48000 -t 6 \
  -c:v libx264 -preset veryfast -bf 2 -g 60 -pix_fmt yuv420p -c:a aac -b:a 128k \
  -f flv "rtmp://$address/live/demo"
wait_for file_finished
path=$(field path)
say "demo: $(field size_bytes) bytes, $(field duration_ms) ms, $(field video_codec) and $(field audio_codec)"

kill -TERM "$server"
wait "$server"
trap - EXIT
say "demo: livereel-server stopped, exit code 0"
for stream in v:0 a:0; do
  say "demo: ffprobe: $(ffprobe -v error -select_streams $stream -count_packets -of csv=p=0 \
    -show_entries stream=codec_name,width,height,r_frame_rate,sample_rate,start_time,duration,nb_read_packets "$path")"
done
complaints=$(ffmpeg -v warning -nostdin -i "$path" -f null - 2>&1)
[ -z "$complaints" ] || {
  say "demo: ffmpeg complains about $path: $complaints"
  exit 1
}
say "demo: ffmpeg decodes all of it without a warning"
echo "$path"
