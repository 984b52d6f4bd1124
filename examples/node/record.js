// Records what is published over RTMP and prints each finished file.
//
//   node record.js --record-dir records --rtmp-listen 127.0.0.1:1935 [--files 1]
'use strict'

const { parseArgs } = require('node:util')
const { Engine } = require('livereel')

const { values } = parseArgs({
  options: {
    'record-dir': { type: 'string', default: 'records' },
    'rtmp-listen': { type: 'string', default: '127.0.0.1:1935' },
    files: { type: 'string' },
  },
})

async function main() {
  const engine = new Engine({ recordDir: values['record-dir'], rtmpListen: values['rtmp-listen'] })
  engine.on('listening', ({ protocol, address }) => console.log(`listening ${protocol} ${address}`))
  engine.on('sessionPublished', ({ streamName, peer }) => console.log(`published ${streamName} from ${peer}`))
  engine.on('warning', ({ code, message }) => console.error(`warning ${code}: ${message}`))

  let files = 0
  const enough = new Promise((resolve) => {
    engine.on('fileFinished', ({ path, durationMs, sizeBytes }) => {
      console.log(`finished ${path} ${(durationMs / 1000).toFixed(3)} s ${sizeBytes} bytes`)
      files += 1
      if (files === Number(values.files)) resolve()
    })
    process.once('SIGINT', resolve)
    process.once('SIGTERM', resolve)
  })

  await engine.start()
  await enough
  await engine.stop()
}

main().catch((error) => {
  console.error(`${error.name} ${error.code ?? ''}: ${error.message}`)
  process.exitCode = 1
})
