'use strict'

// Pulls: what is wrong is said at once, a source that is away by an event.

const { test } = require('node:test')
const assert = require('node:assert/strict')
const net = require('node:net')
const { once } = require('node:events')
const { Engine } = require('..')
const { temporaryFolder, nextEvent } = require('./helpers')

async function closedPort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

test('a source that is away is told, and tried until the session is ended', async (context) => {
  const engine = new Engine({ recordDir: temporaryFolder(context), pullRetryMaxDelay: 500 })
  const url = `rtmp://127.0.0.1:${await closedPort()}/live/door?token=secret`
  assert.throws(() => engine.pull(url), { code: 'invalid_state' })
  await engine.start()
  const warned = nextEvent(engine, 'warning')
  const session = engine.pull(url, { streamName: 'front', template: '{streamName}' })
  const warning = await warned
  assert.equal(warning.code, 'pull_failed')
  assert.ok(!warning.message.includes('secret'))
  assert.equal(warning.mediaSessionId, session.mediaSessionId)
  assert.deepEqual(
    engine.sessions().map(({ streamName, protocol }) => [streamName, protocol]),
    [['front', 'rtmp']],
  )
  session.terminate()
  assert.deepEqual(engine.sessions(), [])
  await engine.stop()
})

test('what is wrong with a pull is said', async (context) => {
  const engine = new Engine({ recordDir: temporaryFolder(context) })
  await engine.start()
  assert.throws(() => engine.pull('http://127.0.0.1/a'), { code: 'invalid_argument' })
  assert.throws(() => engine.pull('rtsp://127.0.0.1/a', { transport: 'quic' }), /tcp or udp/)
  assert.throws(() => engine.pull('rtsp://127.0.0.1/a', { rotation: 'often' }), { code: 'invalid_argument' })
  await engine.stop()
})
