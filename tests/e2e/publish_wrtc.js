// Gets the address of a WHIP endpoint and a video codec: publish_wrtc.js URL CODEC
// Gives it a flash and a beep a second by libwebrtc without a browser (@roamhq/wrtc), until it is told "end"
// on its standard input; after "mute" no sound is sent until "sound".
'use strict';

const { RTCPeerConnection, RTCRtpSender, nonstandard } = require('@roamhq/wrtc');

const [url, codec] = process.argv.slice(2);
const [WIDTH, HEIGHT, RATE] = [320, 180, 48000];
/** Sound is handed over in pieces of 10 ms, and with every fourth of them a picture. */
const STEP_MS = 10;
const STEPS_A_PICTURE = 4;
const STEPS_A_SECOND = 1000 / STEP_MS;
const [FLASH_STEPS, BEEP_STEPS] = [20, 10];

function picture(light) {
  const data = new Uint8ClampedArray(WIDTH * HEIGHT * 1.5).fill(128);
  data.fill(light, 0, WIDTH * HEIGHT);
  return { width: WIDTH, height: HEIGHT, data };
}

function piece(sample) {
  const samples = Int16Array.from({ length: RATE / STEPS_A_SECOND }, (_, at) => sample(at));
  return { samples, sampleRate: RATE, bitsPerSample: 16, channelCount: 1, numberOfFrames: samples.length };
}

/** Hands out pictures and sound on one clock: both kinds of a moment in one turn of the loop. */
function run(video, audio, state) {
  const [black, white] = [picture(16), picture(235)];
  // 10 ms are ten whole waves of the tone.
  const [tone, silence] = [piece(at => 16000 * Math.sin((2 * Math.PI * 1000 * at) / RATE)), piece(() => 0)];
  const began = performance.now();
  let step = 0;
  return setInterval(() => {
    for (; began + step * STEP_MS <= performance.now(); step++) {
      const phase = step % STEPS_A_SECOND;
      if (!state.muted) audio.onData(phase < BEEP_STEPS ? tone : silence);
      if (step % STEPS_A_PICTURE === 0) video.onFrame(phase < FLASH_STEPS ? white : black);
    }
  }, 1);
}

async function main() {
  const [video, audio] = [new nonstandard.RTCVideoSource(), new nonstandard.RTCAudioSource()];
  const peer = new RTCPeerConnection();
  const offered = RTCRtpSender.getCapabilities('video').codecs;
  const wanted = offered.filter(one => [`video/${codec}`, 'video/rtx'].includes(one.mimeType));
  peer.addTransceiver(audio.createTrack(), { direction: 'sendonly' });
  peer.addTransceiver(video.createTrack(), { direction: 'sendonly' }).setCodecPreferences(wanted);
  await peer.setLocalDescription(await peer.createOffer());
  while (peer.iceGatheringState !== 'complete') await new Promise(done => setTimeout(done, 10));
  const headers = { 'Content-Type': 'application/sdp' };
  const answer = await fetch(url, { method: 'POST', headers, body: peer.localDescription.sdp });
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  const session = new URL(answer.headers.get('Location'), url);
  // libwebrtc tells the time of a packet by when the last 10 ms of it were handed over. In packets of no more
  // than that its sender reports are right; else sound would be late by what it waited for.
  const sdp = (await answer.text()).replace(/^(a=rtpmap:\d+ opus.*\r\n)/m, '$1a=ptime:10\r\n');
  await peer.setRemoteDescription({ type: 'answer', sdp });
  while (peer.connectionState !== 'connected') {
    if (peer.connectionState === 'failed') throw new Error('no connection');
    await new Promise(done => setTimeout(done, 10));
  }
  const state = { muted: false };
  const timer = run(video, audio, state);
  console.log('connected');
  for await (const line of require('readline').createInterface({ input: process.stdin })) {
    if (line === 'end') break;
    state.muted = line === 'mute';
  }
  clearInterval(timer);
  await fetch(session, { method: 'DELETE' });
  peer.close();
  process.exit(0);
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
