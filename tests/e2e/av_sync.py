"""Gets a recorded file of a source that flashes and beeps at the same moments.
Gives how much later sound is than picture at each of them; and such sources, in a browser and by ffmpeg."""

import array
import re
import subprocess
from dataclasses import dataclass

#: What the sources do: a white picture and a tone of 1 kHz, so long and so often. The tone is shorter
#: than the flash, for no reason but to be told from it in a plot.
PERIOD_S = 1.0
FLASH_S = 0.2
BEEP_S = 0.1

RATE = 48_000

#: Brightness (0 to 255) between black and white, and loudness (of 32,768) between silence and the tone.
BRIGHT = 110
LOUD = 2000

FRAME = re.compile(r"pts_time:(-?[\d.]+)\s+lavfi\.signalstats\.YAVG=([\d.]+)")


@dataclass
class Step:
    """One flash and its beep, in seconds of the file."""

    flash_s: float
    beep_s: float

    @property
    def late_ms(self):
        """How much later the sound is."""
        return (self.beep_s - self.flash_s) * 1000


def _ffmpeg(path, *arguments):
    # The times of the file as they are: else both kinds are moved by what encoders put before 0.
    command = ["ffmpeg", "-v", "error", "-nostdin", "-copyts", "-i", str(path), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _onsets(times, is_on, least_gap_s):
    """The times at which something comes on after at least `least_gap_s` of being off."""
    onsets, last_on = [], None
    for time, on in zip(times, is_on):
        if not on:
            continue
        if last_on is None or time - last_on > least_gap_s:
            onsets.append(time)
        last_on = time
    return onsets


def flashes(path):
    """When the first white picture of each flash is shown."""
    filters = "scale=32:32,signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-"
    text = _ffmpeg(path, "-an", "-vf", filters, "-enc_time_base:v", "-1", "-f", "null", "-").decode()
    frames = [(float(time), float(light)) for time, light in FRAME.findall(text)]
    assert frames, f"no pictures in {path}"
    # A flash may be held for as long as a picture is missing, so only darkness in between separates two.
    dark, found = False, []
    for time, light in frames:
        if light < BRIGHT:
            dark = True
        elif dark:
            dark = False
            found.append(time)
    return found


def beeps(path):
    """When each tone begins. The filter puts silence where the file has no sound, in front too, and holes of
    a single packet count: left alone it bridges up to 100 ms."""
    fill = "aresample=async=1:min_hard_comp=0.002:first_pts=0"
    pcm = array.array("h", _ffmpeg(path, "-vn", "-af", fill, "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"))
    times = (index / RATE for index in range(len(pcm)))
    return _onsets(times, (abs(value) > LOUD for value in pcm), PERIOD_S / 2)


def steps(path):
    """Every flash that has a beep nearer than a third of the period."""
    heard = beeps(path)
    paired = []
    for flash in flashes(path):
        nearest = min(heard, key=lambda beep: abs(beep - flash), default=None)
        if nearest is not None and abs(nearest - flash) < PERIOD_S / 3:
            paired.append(Step(flash, nearest))
    return paired


def median(values):
    values = sorted(values)
    return values[len(values) // 2]


def assert_in_step(path, at_least, within_ms=20):
    """Sound and picture of the file are in step: the middle of all flashes, and that of the first and of
    the last five. One flash alone is no judge: a browser draws when it has time."""
    found, seen = steps(path), flashes(path)
    late = [step.late_ms for step in found]
    shown = f"{path}: sound is late by {[round(value, 1) for value in late]} ms"
    print(shown)
    assert len(found) >= at_least, shown
    # A shift by whole periods leaves flashes at one end alone.
    alone = [flash for flash in (*seen[1:3], *seen[-3:-1]) if flash not in [step.flash_s for step in found]]
    assert not alone, f"flashes at {alone} s without a beep; {shown}"
    for part in (late, late[:5], late[-5:]):
        assert abs(median(part)) < within_ms, shown


#: A page's source: pictures and pieces of sound handed over by one clock, both kinds of a moment in one turn
#: of the loop. Canvas and WebAudio would each add a delay of their own, which grows on a busy machine.
#: `window.flashAndBeep()` gives a MediaStream.
BROWSER_SOURCE = """
window.flashAndBeep = async () => {
  const [PERIOD, FLASH, BEEP] = [%(period)s, %(flash)s, %(beep)s];
  const [RATE, STEP_MS, STEPS_A_PICTURE] = [48000, 10, 4];
  const [video, audio] = ['video', 'audio'].map(kind => new MediaStreamTrackGenerator({ kind }));
  const [pictures, sounds] = [video, audio].map(track => track.writable.getWriter());
  const canvas = new OffscreenCanvas(320, 180);
  const paint = canvas.getContext('2d');
  const length = RATE * STEP_MS / 1000;
  const tone = Float32Array.from({ length }, (_, at) => Math.sin(2 * Math.PI * 1000 * at / RATE) / 2);
  const silence = new Float32Array(length);
  const began = performance.now();
  let step = 0;
  const run = () => {
    for (; began + step * STEP_MS <= performance.now(); step++) {
      const timestamp = Math.round(performance.now() * 1000);
      const phase = step * STEP_MS / 1000 %% PERIOD;
      const data = phase < BEEP ? tone : silence;
      sounds.write(new AudioData({ format: 'f32', sampleRate: RATE, numberOfFrames: length, numberOfChannels: 1, timestamp, data }));
      if (step %% STEPS_A_PICTURE) continue;
      paint.fillStyle = phase < FLASH ? '#fff' : '#000';
      paint.fillRect(0, 0, 320, 180);
      pictures.write(new VideoFrame(canvas, { timestamp }));
    }
  };
  // A worker's timer is not slowed down, whatever the page is taken for.
  const timer = new Worker(URL.createObjectURL(new Blob(['setInterval(() => postMessage(0), 2)'])));
  timer.onmessage = run;
  return new MediaStream([video, audio]);
};
""" % {"period": PERIOD_S, "flash": FLASH_S, "beep": BEEP_S}

#: The least that WHIP asks of a client: `window.publish(stream, url, codec)` gives the peer connection and
#: a function that ends the session.
BROWSER_PUBLISHER = """
window.publish = async (stream, url, codec) => {
  const peer = new RTCPeerConnection();
  for (const track of stream.getTracks()) {
    const transceiver = peer.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
    if (track.kind !== 'video') continue;
    const { codecs } = RTCRtpSender.getCapabilities('video');
    transceiver.setCodecPreferences(codecs.filter(one => one.mimeType === 'video/' + codec || one.mimeType === 'video/rtx'));
  }
  await peer.setLocalDescription();
  await new Promise(done => {
    const look = () => peer.iceGatheringState === 'complete' && done();
    peer.onicegatheringstatechange = look;
    look();
  });
  const answer = await fetch(url, {
    method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: peer.localDescription.sdp });
  if (answer.status !== 201) throw new Error(answer.status + ' ' + await answer.text());
  const session = new URL(answer.headers.get('Location'), answer.url);
  // In packets of 10 ms what the sender reports tell of sound is right: publish_wrtc.js says why.
  const sdp = (await answer.text()).replace(/^(a=rtpmap:\\d+ opus.*\\r\\n)/m, '$1a=ptime:10\\r\\n');
  await peer.setRemoteDescription({ type: 'answer', sdp });
  await new Promise((done, failed) => {
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === 'connected') done();
      if (peer.connectionState === 'failed') failed(new Error('no connection'));
    };
  });
  return { peer, end: async () => { await fetch(session, { method: 'DELETE' }); peer.close(); } };
};
"""

#: The same for ffmpeg, as inputs: black and white, tone and silence.
LAVFI_SOURCE = [
    *("-re", "-f", "lavfi", "-i", f"color=black:s=320x180:r=30,format=yuv420p,drawbox=t=fill:color=white:enable='lt(mod(t,{PERIOD_S}),{FLASH_S})'"),
    *("-re", "-f", "lavfi", "-i", f"aevalsrc='0.5*sin(2*PI*1000*t)*lt(mod(t,{PERIOD_S}),{BEEP_S})':s=48000:d=3600"),
]
