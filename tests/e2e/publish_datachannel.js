// Gets the address of a WHIP endpoint: publish_datachannel.js URL
// Gives it what ffmpeg encodes, by libdatachannel (node-datachannel), which shares no code with browsers,
// until it is told "end" on its standard input.
'use strict';

const { spawn } = require('node:child_process');
const dgram = require('node:dgram');
const { Audio, PeerConnection, Video } = require('node-datachannel');

const [url] = process.argv.slice(2);
const [VIDEO, AUDIO] = [{ type: 96, ssrc: 42 }, { type: 111, ssrc: 43 }];

/** A port that ffmpeg sends RTP to, each packet of which goes on as it is. */
async function forward(track) {
  const socket = dgram.createSocket('udp4');
  // RTCP of ffmpeg stays here: a report of ours would name other sources than the track's.
  socket.on('message', packet => track.isOpen() && (packet[1] & 0x7f) !== 72 && track.sendMessageBinary(packet));
  await new Promise(done => socket.bind(0, '127.0.0.1', done));
  return `rtp://127.0.0.1:${socket.address().port}?pkt_size=1200`;
}

async function main() {
  const peer = new PeerConnection('publisher', { iceServers: [] });
  const video = new Video('video', 'SendOnly');
  video.addH264Codec(VIDEO.type);
  video.addSSRC(VIDEO.ssrc, 'camera');
  const audio = new Audio('audio', 'SendOnly');
  audio.addOpusCodec(AUDIO.type);
  audio.addSSRC(AUDIO.ssrc, 'camera');
  const tracks = [peer.addTrack(video), peer.addTrack(audio)];
  const gathered = new Promise(done => peer.onGatheringStateChange(state => state === 'complete' && done()));
  peer.setLocalDescription();
  await gathered;
  const headers = { 'Content-Type': 'application/sdp' };
  const answer = await fetch(url, { method: 'POST', headers, body: peer.localDescription().sdp });
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  const session = new URL(answer.headers.get('Location'), url);
  const opened = Promise.all(tracks.map(track => new Promise(done => track.onOpen(done))));
  peer.setRemoteDescription(await answer.text(), 'answer');
  await opened;
  const [toVideo, toAudio] = await Promise.all(tracks.map(forward));
  const ffmpeg = spawn('ffmpeg', [
    ...'-v error -nostdin -re -f lavfi -i testsrc2=s=320x180:r=25 -re -f lavfi -i sine=r=48000 -map 0'.split(' '),
    ...'-c:v libx264 -profile:v baseline -preset ultrafast -tune zerolatency -g 25 -b:v 500k'.split(' '),
    ...`-payload_type ${VIDEO.type} -ssrc ${VIDEO.ssrc} -f rtp`.split(' '), toVideo,
    ...`-map 1 -c:a libopus -payload_type ${AUDIO.type} -ssrc ${AUDIO.ssrc} -f rtp`.split(' '), toAudio,
  ], { stdio: ['ignore', 'ignore', 'inherit'] });
  console.log('connected');
  for await (const line of require('readline').createInterface({ input: process.stdin })) if (line === 'end') break;
  ffmpeg.kill();
  await fetch(session, { method: 'DELETE' });
  peer.close();
  process.exit(0);
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
