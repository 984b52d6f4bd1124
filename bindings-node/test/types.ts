// Compiled, never run: the types say what the package does.
import { Engine, EngineEvent, LivereelError } from '..'

export async function record(): Promise<string[]> {
  const engine = new Engine({ recordDir: 'records', rtmpListen: '127.0.0.1:0', recordThreads: 2 })
  engine.on('fileFinished', (file) => console.log(file.path, file.durationMs.toFixed(), file.tracks[0]?.gaps.length))
  engine.on('warning', (warning) => console.warn(warning.code, warning.message))
  // @ts-expect-error there is no such event
  engine.on('fileFinisht', () => {})
  await engine.start()
  const paths: string[] = []
  for await (const event of engine.events()) {
    const one: EngineEvent = event
    if (one.event === 'fileFinished') paths.push(one.path)
    if (one.event === 'recordingFinished') break
  }
  try {
    await engine.stop({ timeoutMs: 1000 })
  } catch (error) {
    if (error instanceof LivereelError && error.code === 'timeout') return paths
    throw error
  }
  return paths
}
