// Gets a folder and an engine's address.
// Gives real publishers (ffmpeg) and waits with deadlines; nothing here sleeps to be right.
'use strict'

const { spawn, execFileSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const DEADLINE_MS = 60_000

function temporaryFolder(context) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'livereel-node-'))
  context.after(() => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Publishes `seconds` of test picture and tone in real time; resolves when ffmpeg has ended. */
async function publish(address, name, seconds = 2) {
  const source = `testsrc2=size=320x180:rate=25:duration=${seconds}`
  const tone = `sine=frequency=440:sample_rate=48000:duration=${seconds}`
  const args = ['-v', 'error', '-re', '-f', 'lavfi', '-i', source, '-f', 'lavfi', '-i', tone]
  args.push('-c:v', 'libx264', '-preset', 'ultrafast', '-g', '25', '-pix_fmt', 'yuv420p', '-c:a', 'aac')
  args.push('-f', 'flv', `rtmp://${address}/live/${name}`)
  const ffmpeg = spawn('ffmpeg', args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const [code] = await once(ffmpeg, 'exit')
  return code
}

function withDeadline(promise, what) {
  let timer
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${DEADLINE_MS} ms`)), DEADLINE_MS)
  })
  return Promise.race([promise, deadline]).finally(() => clearTimeout(timer))
}

const nextEvent = (engine, name) => withDeadline(once(engine, name).then(([event]) => event), name)

function countPackets(file, stream) {
  const args = ['-v', 'error', '-select_streams', stream, '-count_packets', '-show_entries', 'stream=nb_read_packets']
  return Number(execFileSync('ffprobe', [...args, '-of', 'csv=p=0', file]).toString().trim())
}

module.exports = { temporaryFolder, publish, nextEvent, withDeadline, countPackets }
