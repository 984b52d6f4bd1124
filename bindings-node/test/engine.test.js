'use strict'

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { Engine, LivereelError, EVENTS, ERROR_CODES, SETTINGS } = require('..')
const { temporaryFolder, publish, nextEvent, withDeadline, countPackets } = require('./helpers.js')

const settings = (recordDir, more = {}) => ({ rtmpListen: '127.0.0.1:0', recordDir, ...more })

test('a stream is recorded, and every event comes in order', async (context) => {
  const engine = new Engine(settings(temporaryFolder(context)))
  const events = []
  engine.on('event', (event) => events.push(event))
  await engine.start()
  const finished = nextEvent(engine, 'recordingFinished')
  assert.equal(await publish(engine.address('rtmp'), 'cam'), 0)
  await finished
  await engine.stop()
  const names = events.map((event) => event.event)
  assert.deepEqual(names, [
    'listening',
    'sessionPublished',
    'recordingStarted',
    'sessionEnded',
    'fileFinished',
    'recordingFinished',
  ])
  assert.deepEqual(events.map((event) => event.seq), [1, 2, 3, 4, 5, 6])
  const file = events[4]
  assert.ok(path.isAbsolute(file.path))
  assert.equal(file.streamName, 'cam')
  assert.equal(file.videoCodec, 'h264')
  assert.equal(file.audioCodec, 'aac')
  assert.equal(file.sizeBytes, fs.statSync(file.path).size)
  assert.ok(file.time instanceof Date)
  const video = file.tracks.find((track) => track.kind === 'video')
  assert.equal(video.samplesWritten, 50)
  assert.equal(countPackets(file.path, 'v'), 50)
})

test('an async iterator ends after the last event of a stopped engine', async (context) => {
  const engine = new Engine(settings(temporaryFolder(context)))
  const seen = (async () => {
    const names = []
    for await (const event of engine) names.push(event.event)
    return names
  })()
  await engine.start()
  await publish(engine.address('rtmp'), 'cam', 1)
  await engine.stop()
  assert.equal((await withDeadline(seen, 'end of the iterator')).at(-1), 'recordingFinished')
})

test('a listener that throws or rejects harms nobody', async (context) => {
  const engine = new Engine(settings(temporaryFolder(context)))
  const warnings = []
  const onWarning = (warning) => warnings.push(warning)
  process.on('warning', onWarning)
  context.after(() => process.off('warning', onWarning))
  engine.on('sessionPublished', () => {
    throw new Error('mine')
  })
  engine.on('recordingStarted', async () => {
    throw new Error('mine too')
  })
  await engine.start()
  const file = nextEvent(engine, 'fileFinished')
  await publish(engine.address('rtmp'), 'cam', 1)
  assert.equal((await file).reason, 'session_ended')
  await engine.stop()
  assert.equal(warnings.filter((warning) => warning.name === 'LivereelWarning').length, 2)
})

test('a recording is started, rotated and stopped on demand', async (context) => {
  const engine = new Engine(settings(temporaryFolder(context), { recordStreams: false }))
  await engine.start()
  const files = []
  engine.on('fileFinished', (file) => files.push(file))
  const published = nextEvent(engine, 'sessionPublished')
  const publisher = publish(engine.address('rtmp'), 'cam', 6)
  const { mediaSessionId } = await published
  assert.equal(engine.sessions()[0].streamName, 'cam')
  const started = nextEvent(engine, 'recordingStarted')
  const recording = await engine.session(mediaSessionId).record({ template: '{streamName}' })
  await started
  assert.equal(engine.recordings()[0].recordingId, recording.recordingId)
  const first = nextEvent(engine, 'fileFinished')
  recording.rotate()
  assert.equal((await first).reason, 'rotation_requested')
  await recording.stop()
  assert.throws(() => recording.rotate(), { name: 'LivereelError', code: 'not_found' })
  await publisher
  await engine.stop()
  assert.deepEqual(files.map((file) => file.fileName), ['cam_1.mp4', 'cam_2.mp4'])
})

test('wrong settings are reported all at once, by key', () => {
  const wrong = () => new Engine({ recordRotation: 'soon', recordThreads: 0 })
  assert.throws(wrong, (error) => {
    assert.ok(error instanceof LivereelError)
    assert.equal(error.code, 'invalid_config')
    assert.match(error.message, /record_rotation/)
    assert.match(error.message, /record_threads/)
    return true
  })
  assert.throws(() => new Engine({ recordRotatoin: '5m' }), { code: 'invalid_argument', message: /record_rotation/ })
  assert.throws(() => new Engine({ recordDir: {} }), { code: 'invalid_argument' })
})

test('an engine starts once and stops as often as one likes', async (context) => {
  const engine = new Engine(settings(temporaryFolder(context)))
  await engine.start()
  await assert.rejects(engine.start(), { code: 'invalid_state' })
  await engine.stop()
  await engine.stop()
  assert.equal(engine.address('rtmp'), undefined)
})

test('an engine that is left running at exit, or collected, finishes its files', (context) => {
  for (const ending of ['process.exit(0)', 'engine = null; setInterval(gc, 20).unref()']) {
    const recordDir = temporaryFolder(context)
    const script = `
      const { Engine } = require(${JSON.stringify(path.join(__dirname, '..'))})
      const { publish } = require(${JSON.stringify(path.join(__dirname, 'helpers.js'))})
      let engine = new Engine({ rtmpListen: '127.0.0.1:0', recordDir: ${JSON.stringify(recordDir)} })
      const started = new Promise((resolve) => engine.once('recordingStarted', resolve))
      engine.start().then(() => {
        publish(engine.address('rtmp'), 'cam', 3)
        return started
      }).then(() => { ${ending} })`
    execFileSync(process.execPath, ['--expose-gc', '-e', script], { timeout: 60_000, stdio: ['ignore', 'pipe', 'ignore'] })
    assert.equal(fs.readdirSync(recordDir).filter((name) => name.endsWith('.mp4')).length, 1, ending)
  }
})

test('the face lists every event, error code and setting of the core', () => {
  const types = fs.readFileSync(path.join(__dirname, '..', 'index.d.ts'), 'utf8')
  for (const name of EVENTS) assert.ok(types.includes(`${name}: `), name)
  for (const code of ERROR_CODES) assert.ok(types.includes(`'${code}'`), code)
  assert.ok(SETTINGS.includes('recordDir') && SETTINGS.includes('mp4ContainerMoovFirst'))
})

test('a panic in any native function is caught: each is marked so', () => {
  const source = fs.readFileSync(path.join(__dirname, '..', 'src', 'lib.rs'), 'utf8')
  const functions = [...source.matchAll(/#\[napi([^\]]*)\]\s*pub fn (\w+)/g)]
  assert.ok(functions.length > 10)
  for (const [, attributes, name] of functions) assert.match(attributes, /catch_unwind/, name)
})
