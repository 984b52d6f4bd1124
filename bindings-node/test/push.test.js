'use strict'

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { Engine } = require('..')
const { temporaryFolder, nextEvent } = require('./helpers.js')

const FFMPEG = ['-hide_banner', '-loglevel', 'error', '-y']

/** MD5 of each packet's payload, as ffmpeg reads a file. */
function packets(file) {
  const text = execFileSync('ffmpeg', [...FFMPEG, '-i', file, '-map', '0:a', '-c', 'copy', '-f', 'framemd5', '-'])
  const lines = text.toString().split('\n').filter((line) => line && !line.startsWith('#'))
  return lines.map((line) => line.split(',').at(-1).trim())
}

function* frames(data) {
  for (let at = 0; at < data.length; ) {
    const length = ((data[at + 3] & 3) << 11) | (data[at + 4] << 3) | (data[at + 5] >> 5)
    yield data.subarray(at, at + length)
    at += length
  }
}

async function pushAll(push, track, samples) {
  let number = 0
  for (const data of samples) {
    while (!push.push(track, data, { pts: number * 1024 })) await once(push, 'drain')
    number += 1
  }
  return number
}

test('a pushed stream is recorded packet for packet', async (context) => {
  const folder = temporaryFolder(context)
  const source = path.join(folder, 'a.aac')
  const sine = 'sine=frequency=440:sample_rate=48000:duration=5'
  execFileSync('ffmpeg', [...FFMPEG, '-f', 'lavfi', '-i', sine, '-c:a', 'aac', source])
  // The same frames without their headers, by ffmpeg's own muxer.
  const reference = path.join(folder, 'reference.m4a')
  execFileSync('ffmpeg', [...FFMPEG, '-i', source, '-c', 'copy', reference])
  const engine = new Engine({ recordDir: folder })
  await engine.start()
  const finished = nextEvent(engine, 'fileFinished')
  const push = engine.push('pushed', { login: 'me' })
  const track = push.track('aac', { timescale: 48000 })
  const sent = await pushAll(push, track, frames(fs.readFileSync(source)))
  assert.equal(engine.sessions()[0].protocol, 'push')
  push.end()
  const file = await finished
  await engine.stop()
  assert.deepEqual(packets(file.path), packets(reference))
  assert.equal(file.tracks[0].samplesWritten, sent)
})

/** The tags of an FLV file: kind, time in milliseconds, body. */
function* flvTags(data) {
  for (let at = 13; at + 11 < data.length; ) {
    const length = data.readUIntBE(at + 1, 3)
    const time = data.readUIntBE(at + 4, 3) | (data[at + 7] << 24)
    yield { kind: data[at], time, body: data.subarray(at + 11, at + 11 + length) }
    at += 11 + length + 4
  }
}

/** MD5 of the payloads of each stream, as ffmpeg reads a file. */
function streamHashes(file) {
  const args = ['-i', file, '-map', '0:v', '-map', '0:a', '-c', 'copy', '-f', 'streamhash', '-hash', 'md5', '-']
  return execFileSync('ffmpeg', [...FFMPEG, ...args]).toString()
}

test('a real file with B-frames and sound is recorded packet for packet', async (context) => {
  const folder = temporaryFolder(context)
  const source = path.join(folder, 'source.flv')
  const lavfi = ['-f', 'lavfi', '-i', 'testsrc2=size=160x120:rate=25:duration=4', '-f', 'lavfi', '-i', 'sine=duration=4']
  const codecs = ['-c:v', 'libx264', '-preset', 'ultrafast', '-bf', '2', '-g', '25', '-c:a', 'aac']
  execFileSync('ffmpeg', [...FFMPEG, ...lavfi, ...codecs, source])
  const engine = new Engine({ recordDir: folder })
  await engine.start()
  const finished = nextEvent(engine, 'fileFinished')
  const push = engine.push('file')
  const tracks = {}
  for (const { kind, time, body } of flvTags(fs.readFileSync(source))) {
    const video = kind === 9
    const head = video ? 5 : 2
    const payload = body.subarray(head)
    if (kind !== 8 && !video) continue
    if (body[1] === 0) {
      tracks[kind] = push.track(video ? 'h264' : 'aac', { config: payload })
    } else if (body[1] === 1) {
      const times = { dts: time, pts: time + (video ? body.readUIntBE(2, 3) : 0), key: !video || body[0] >> 4 === 1 }
      while (!push.push(tracks[kind], payload, times)) await once(push, 'drain')
    }
  }
  push.end()
  const file = await finished
  await engine.stop()
  assert.equal(streamHashes(file.path), streamHashes(source))
})

test('samples come fast, and a full stream drains', async (context) => {
  const engine = new Engine({ recordDir: temporaryFolder(context) })
  await engine.start()
  const finished = nextEvent(engine, 'fileFinished')
  const push = engine.push('fast')
  const track = push.track('aac', { config: Buffer.from([0x11, 0x90]), timescale: 48000 })
  const payload = Buffer.alloc(2000)
  const began = process.hrtime.bigint()
  await pushAll(push, track, Array.from({ length: 20_000 }, () => payload))
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  context.diagnostic(`${Math.round(20_000 / seconds)} samples a second`)
  push.end()
  const file = await finished
  await engine.stop()
  assert.equal(file.tracks[0].samplesWritten, 20_000)
})

test('what is wrong is said', async (context) => {
  const engine = new Engine({ recordDir: temporaryFolder(context) })
  assert.throws(() => engine.push('early'), { code: 'invalid_state' })
  await engine.start()
  const push = engine.push('pushed')
  assert.throws(() => push.track('h266'), { code: 'invalid_argument' })
  const track = push.track('aac', { config: Buffer.from([0x11, 0x90]) })
  assert.throws(() => push.push(track + 1, Buffer.from('x'), { pts: 0 }), { code: 'not_found' })
  assert.throws(() => engine.push('pushed'), { code: 'invalid_argument' })
  push.end()
  assert.throws(() => push.push(track, Buffer.from('x'), { pts: 0 }), { code: 'invalid_state' })
  await engine.stop()
})
