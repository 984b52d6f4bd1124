// Gets calls of the host and events of the native engine.
// Gives the typed face of the package: camelCase, EventEmitter, async iteration, LivereelError.
'use strict'

const { EventEmitter } = require('node:events')
const native = require('./livereel.node')

const vocabulary = Object.freeze(JSON.parse(native.vocabulary()))
const KEEP_ALIVE_MS = 2 ** 30
// One for all: a closure made where the timer is started would keep its engine from being collected.
const nothing = () => {}

/** A failure of livereel: `code` is the kind, `context` the named values. */
class LivereelError extends Error {
  constructor({ code, message, operation = '', mayRetry = false, context = {} }, options) {
    super(message, options)
    this.name = 'LivereelError'
    this.code = code
    this.operation = operation
    this.mayRetry = mayRetry
    this.context = context
  }
}

const toCamel = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase())
const toSnake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

// Keys of these objects are data (reasons, facts of the publisher), not names of ours.
const OPAQUE = new Set(['dropped', 'facts'])

function camelKeys(value) {
  if (Array.isArray(value)) return value.map(camelKeys)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [toCamel(key), OPAQUE.has(key) ? inner : camelKeys(inner)]),
  )
}

function toEvent(json) {
  const event = camelKeys(JSON.parse(json))
  event.event = toCamel(event.event)
  event.time = new Date(event.time)
  return event
}

/** Native errors carry JSON; what is none is passed on as it is. */
function toError(error) {
  try {
    return new LivereelError(JSON.parse(error.message), { cause: error })
  } catch {
    return error
  }
}

function guard(call) {
  try {
    return call()
  } catch (error) {
    throw toError(error)
  }
}

async function guardAsync(call) {
  try {
    return await call()
  } catch (error) {
    throw toError(error)
  }
}

function toSettings(options) {
  const settings = {}
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || value === null) continue
    if (!['string', 'number', 'boolean'].includes(typeof value) && !Array.isArray(value)) {
      throw new LivereelError({
        code: 'invalid_argument',
        message: `cannot set ${key}: a string, number, boolean or array is allowed, not ${typeof value}`,
        operation: 'set a setting',
        context: { key },
      })
    }
    settings[toSnake(key)] = Array.isArray(value) ? value.join(',') : String(value)
  }
  return settings
}

/** Clears what keeps the process alive for an engine that was collected. */
const collected = new FinalizationRegistry((alive) => {
  clearInterval(alive.timer)
  running.delete(alive.engine)
})

// process.exit() runs no clean-up of native modules: engines that still run are stopped here.
const running = new Set()
process.on('exit', () => {
  for (const weak of running) weak.deref()?.stopAtExit()
})

/** Events that wait for one `for await`; unbounded, because no event is ever dropped. */
class EventQueue {
  #events = []
  #waiting = []
  #ended = false
  #onReturn

  constructor(onReturn) {
    this.#onReturn = onReturn
  }

  push(event) {
    const waiting = this.#waiting.shift()
    if (waiting) waiting({ value: event, done: false })
    else this.#events.push(event)
  }

  end() {
    this.#ended = true
    for (const waiting of this.#waiting.splice(0)) waiting({ value: undefined, done: true })
  }

  next() {
    if (this.#events.length > 0) return Promise.resolve({ value: this.#events.shift(), done: false })
    if (this.#ended) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  return(value) {
    this.#onReturn(this)
    this.#events.length = 0
    this.end()
    return Promise.resolve({ value, done: true })
  }

  [Symbol.asyncIterator]() {
    return this
  }
}

class Engine extends EventEmitter {
  #native
  #queues = new Set()
  #alive = { timer: undefined, wanted: true }
  #ended
  #tellEnded

  constructor(options = {}) {
    super()
    const { configFile, ...settings } = options
    this.#ended = new Promise((resolve) => {
      this.#tellEnded = resolve
    })
    const onEvent = Engine.#listener(new WeakRef(this))
    this.#native = guard(() => new native.NativeEngine(toSettings(settings), configFile, onEvent))
    this.#alive.engine = new WeakRef(this.#native)
    running.add(this.#alive.engine)
    collected.register(this, this.#alive)
  }

  // The native side must not keep the engine alive, for a collected one is stopped: a closure made
  // in the constructor would, because it shares its scope with others that hold `this`.
  static #listener(weak) {
    return (json) => weak.deref()?.#told(json)
  }

  #told(json) {
    if (json === null) {
      for (const queue of this.#queues) queue.end()
      this.#queues.clear()
      this.#tellEnded()
      return
    }
    const event = toEvent(json)
    for (const queue of this.#queues) queue.push(event)
    this.#deliver('event', event)
    this.#deliver(event.event, event)
  }

  // One listener that throws must not keep the others, or the recorder, from going on.
  #deliver(name, event) {
    for (const listener of this.rawListeners(name)) {
      try {
        const result = listener.call(this, event)
        if (typeof result?.catch === 'function') result.catch((error) => this.#warn(name, error))
      } catch (error) {
        this.#warn(name, error)
      }
    }
  }

  #warn(name, error) {
    process.emitWarning(`a listener of '${name}' failed: ${error?.stack ?? error}`, 'LivereelWarning')
  }

  async start() {
    await guardAsync(() => this.#native.start())
    if (this.#alive.wanted && this.#alive.timer === undefined) {
      this.#alive.timer = setInterval(nothing, KEEP_ALIVE_MS)
    }
    return this
  }

  async stop({ timeoutMs } = {}) {
    try {
      await guardAsync(() => this.#native.stop(timeoutMs))
      await this.#ended
    } finally {
      clearInterval(this.#alive.timer)
      this.#alive.timer = undefined
      running.delete(this.#alive.engine)
    }
  }

  async [Symbol.asyncDispose]() {
    await this.stop()
  }

  unref() {
    this.#alive.wanted = false
    this.#alive.timer?.unref()
    return this
  }

  ref() {
    this.#alive.wanted = true
    this.#alive.timer?.ref()
    return this
  }

  address(protocol) {
    return guard(() => this.#native.address(protocol)) ?? undefined
  }

  events() {
    const queue = new EventQueue((gone) => this.#queues.delete(gone))
    this.#queues.add(queue)
    return queue
  }

  [Symbol.asyncIterator]() {
    return this.events()
  }

  sessions() {
    return camelKeys(JSON.parse(guard(() => this.#native.sessions())))
  }

  session(mediaSessionId) {
    return new Session(this.#native, mediaSessionId)
  }

  recordings() {
    return camelKeys(JSON.parse(guard(() => this.#native.recordings())))
  }

  recording(recordingId) {
    return new Recording(this.#native, recordingId)
  }

  push(streamName, { record, login, room } = {}) {
    return new Push(this.#native, guard(() => this.#native.push(streamName, record, login, room)))
  }

  pull(url, { streamName, record, login, room, transport, template, rotation } = {}) {
    const options = { streamName, record, login, room, transport, template, rotation }
    return new Session(this.#native, guard(() => this.#native.pull(url, options)))
  }

  async recover() {
    return camelKeys(JSON.parse(await guardAsync(() => this.#native.recover())))
  }
}

class Session {
  #native

  constructor(nativeEngine, mediaSessionId) {
    this.#native = nativeEngine
    this.mediaSessionId = mediaSessionId
  }

  async record({ template, rotation } = {}) {
    const id = guard(() => this.#native.record(this.mediaSessionId, template, rotation))
    return new Recording(this.#native, id)
  }

  requestKeyFrame() {
    guard(() => this.#native.requestKeyFrame(this.mediaSessionId))
  }

  terminate() {
    guard(() => this.#native.terminate(this.mediaSessionId))
  }
}

const NOTHING = Buffer.alloc(0)

/** A stream that the host hands in. `push` answers false where nothing was taken; 'drain' says when to go on. */
class Push extends EventEmitter {
  #engine
  #native
  #waits = false
  #ended = false

  constructor(nativeEngine, nativePush) {
    super()
    this.#engine = nativeEngine
    this.#native = nativePush
    this.mediaSessionId = nativePush.mediaSessionId()
  }

  get session() {
    return new Session(this.#engine, this.mediaSessionId)
  }

  track(codec, { config = NOTHING, timescale = 1000 } = {}) {
    return guard(() => this.#native.track(codec, config, timescale))
  }

  reconfigure(track, codec, { config = NOTHING, timescale = 1000 } = {}) {
    guard(() => this.#native.reconfigure(track, codec, config, timescale))
  }

  push(track, data, { pts, dts = pts, key = false }) {
    const taken = guard(() => this.#native.push(track, data, pts, dts, key))
    if (!taken && !this.#waits) this.#waitForRoom()
    return taken
  }

  async #waitForRoom() {
    this.#waits = true
    try {
      while (!this.#ended && (await this.#native.wait(1000)) !== 'true');
    } catch {
      // It ended meanwhile: the next push says so.
    }
    this.#waits = false
    this.emit('drain')
  }

  end() {
    this.#ended = true
    guard(() => this.#native.end())
  }
}

class Recording {
  #native

  constructor(nativeEngine, recordingId) {
    this.#native = nativeEngine
    this.recordingId = recordingId
  }

  rotate() {
    guard(() => this.#native.rotate(this.recordingId))
  }

  pause({ keepGap = false } = {}) {
    guard(() => this.#native.pause(this.recordingId, keepGap))
  }

  resume() {
    guard(() => this.#native.resume(this.recordingId))
  }

  async stop({ timeoutMs = 15_000 } = {}) {
    await guardAsync(() => this.#native.stopRecording(this.recordingId, timeoutMs))
  }

  async [Symbol.asyncDispose]() {
    await this.stop()
  }
}

// Node 18 has no Symbol.asyncDispose: the methods above then sit under 'undefined', which is removed.
if (!Symbol.asyncDispose) {
  for (const type of [Engine, Recording]) delete type.prototype.undefined
}

module.exports = {
  Engine,
  Session,
  Recording,
  Push,
  LivereelError,
  EVENTS: Object.freeze(vocabulary.events.map(toCamel)),
  ERROR_CODES: Object.freeze(vocabulary.codes),
  SETTINGS: Object.freeze(vocabulary.settings.map(toCamel)),
}
