/// <reference types="node" />
import { EventEmitter } from 'node:events'

/** What went wrong, as a fixed name. */
export type ErrorCode =
  | 'invalid_argument'
  | 'invalid_config'
  | 'not_found'
  | 'already_exists'
  | 'invalid_state'
  | 'unsupported'
  | 'limit_exceeded'
  | 'malformed'
  | 'io'
  | 'disk_full'
  | 'timeout'
  | 'cancelled'
  | 'access_denied'
  | 'busy'
  | 'forked'
  | 'internal'

/** A failure of livereel. */
export class LivereelError extends Error {
  /** The kind. */
  readonly code: ErrorCode
  /** What was tried. */
  readonly operation: string
  /** Whether the same call may succeed later without anything being changed. */
  readonly mayRetry: boolean
  /** The values that the message names. */
  readonly context: Readonly<Record<string, string>>
}

type Scalar = string | number | boolean

/**
 * Settings in camelCase; each is checked, and all problems are reported at once. `SETTINGS` lists
 * every key, the README says what each means.
 */
export interface EngineOptions {
  /** A `.toml` or `.properties` file; the other options override it. */
  configFile?: string
  /** Where finished files go. Default `records`. */
  recordDir?: string
  /** Where files grow; may be another file system. Default: `recordDir`. */
  recordTmpDir?: string
  /** `host:port` of the RTMP listener, port 0 for a free one. None is opened unless set. */
  rtmpListen?: string
  /** Codec to container, for example `h264-ts`. */
  recordFormats?: string | string[]
  /** `disabled`, `10s`, `5m`, `1h`, `10M`, `1G`. */
  recordRotation?: string
  /** Template of file names, for example `{streamName}-{startTime}`. */
  streamRecordPolicyTemplate?: string
  [key: string]: Scalar | Scalar[] | undefined
}

/** Fields of every event. */
export interface BaseEvent {
  /** 1, 2, 3 and so on, without a hole, for each engine. */
  seq: number
  time: Date
  /** UUID of the media session, where the event is about one. */
  mediaSessionId?: string
  sessionId?: string
  streamName?: string
  login?: string
  recordingId?: string
}

export interface TrackFacts {
  id: number
  kind: 'video' | 'audio'
  codec: string
  /** Pixels. */
  width?: number
  /** Pixels. */
  height?: number
  /** Hz. */
  sampleRate?: number
  channels?: number
}

export interface Gap {
  /** Milliseconds from the start of the file. */
  atMs: number
  lengthMs: number
  cause: string
}

/** samplesIn = samplesWritten + the sum of dropped. */
export interface TrackBalance {
  kind: 'video' | 'audio'
  codec: string
  samplesIn: number
  samplesWritten: number
  dropped: Record<string, number>
  gaps: Gap[]
}

/** A file that is whole, under its final name, and on stable storage. */
export interface FinishedFile {
  /** Absolute. */
  path: string
  fileName: string
  /** From 1. */
  part: number
  sizeBytes: number
  container: 'mp4' | 'ts' | 'webm'
  videoCodec: string | null
  audioCodec: string | null
  /** The stream's own clock. */
  startTimeMs: number
  endTimeMs: number
  /** The server's clock. */
  startUnixMs: number
  endUnixMs: number
  durationMs: number
  reason: string
  tracks: TrackBalance[]
  sha256?: string
}

export interface ListeningEvent extends BaseEvent {
  event: 'listening'
  protocol: 'rtmp' | 'http' | 'https' | 'webrtc'
  /** `host:port`. */
  address: string
}
export interface SessionPublishedEvent extends BaseEvent {
  event: 'sessionPublished'
  protocol: string
  peer: string
  tracks: TrackFacts[]
}
/** How a packet connection (WebRTC, RTSP over UDP) fares. */
export interface LinkFacts {
  /** Duplicates not counted. */
  packetsReceived: number
  /** Resent ones not counted. */
  packetsLost: number
  packetsDuplicate: number
  packetsRecovered: number
  nacksSent: number
  keyFramesRequested: number
  roundTripMs: number | null
  jitterMs: number | null
}

export interface SessionEndedEvent extends BaseEvent {
  event: 'sessionEnded'
  reason: string
  link?: LinkFacts
}
/** A source went away; the session waits for it as long as the settings say. */
export interface SessionInterruptedEvent extends BaseEvent {
  event: 'sessionInterrupted'
  reason: string
}
/** It is back, and its recordings go on. */
export interface SessionResumedEvent extends BaseEvent {
  event: 'sessionResumed'
  peer: string
  awayMs: number
}
export interface RecordingStartedEvent extends BaseEvent {
  event: 'recordingStarted'
  fileName: string
}
export interface FileFinishedEvent extends BaseEvent, FinishedFile {
  event: 'fileFinished'
}
export interface RecoveredEvent extends BaseEvent, FinishedFile {
  event: 'recovered'
}
export interface RecordingFinishedEvent extends BaseEvent {
  event: 'recordingFinished'
  parts: number
  sizeBytes: number
  durationMs: number
  reason: string
}
export interface RecordingFailedEvent extends BaseEvent {
  event: 'recordingFailed'
  code: ErrorCode
  message: string
  path: string
}
export interface WarningEvent extends BaseEvent {
  event: 'warning'
  code: string
  message: string
}
/** A finished file was removed, as `recordRetention…` ask. */
export interface FileRemovedEvent extends BaseEvent {
  event: 'fileRemoved'
  /** The absolute path that it had. */
  path: string
  fileName: string
  sizeBytes: number
  reason: 'max_age' | 'max_size' | 'min_free_space'
}

/** Every event by its name. */
export interface EngineEvents {
  listening: ListeningEvent
  sessionPublished: SessionPublishedEvent
  sessionEnded: SessionEndedEvent
  recordingStarted: RecordingStartedEvent
  fileFinished: FileFinishedEvent
  recovered: RecoveredEvent
  recordingFinished: RecordingFinishedEvent
  recordingFailed: RecordingFailedEvent
  warning: WarningEvent
  fileRemoved: FileRemovedEvent
  sessionInterrupted: SessionInterruptedEvent
  sessionResumed: SessionResumedEvent
}
export type EngineEvent = EngineEvents[keyof EngineEvents]
type Names = EngineEvents & { event: EngineEvent }

export interface SessionInfo {
  mediaSessionId: string
  sessionId: string
  streamName: string
  login: string
  protocol: string
  peer: string
  room: string
  /** Unix milliseconds. */
  started: number
  tracks: TrackFacts[]
  samplesIn: number
  bytesIn: number
  link?: LinkFacts
  facts: Record<string, unknown>
}

export interface RecordingInfo {
  recordingId: string
  mediaSessionId: string
  fileName: string
  part: number
  durationMs: number
  sizeBytes: number
  paused: boolean
}

export interface RecordOptions {
  /** File-name template; the settings' one where left out. */
  template?: string
  /** Rotation; the settings' one where left out. */
  rotation?: string
}

/** A running media session. Methods throw `LivereelError`: `not_found` once it has ended. */
export class Session {
  private constructor()
  readonly mediaSessionId: string
  /** Starts one more recording. */
  record(options?: RecordOptions): Promise<Recording>
  /** Asks the source for a key frame; sources that cannot be asked ignore it. */
  requestKeyFrame(): void
  /** Disconnects the publisher; its files are finished. */
  terminate(): void
}

export interface PullOptions extends RecordOptions {
  /** Its name here; the last part of the URL where left out. */
  streamName?: string
  /** Whether it is recorded from its start; as the settings say where left out. */
  record?: boolean
  login?: string
  /** Recordings of a session in a room never rotate. */
  room?: string
  /** How RTSP media travels; `rtspTransport` where left out. */
  transport?: 'tcp' | 'udp'
}

export interface PushOptions {
  /** Whether it is recorded from its start; `recordPushedStreams` where left out. */
  record?: boolean
  login?: string
  /** Recordings of a session in a room never rotate. */
  room?: string
}

export interface TrackOptions {
  /** Headers: an AVCDecoderConfigurationRecord, an AudioSpecificConfig. Without: Annex B, ADTS. */
  config?: Uint8Array
  /** Ticks a second of the timestamps. Default 1000. */
  timescale?: number
}

/**
 * A stream whose encoded samples the host hands in. Samples of one track come in decode order.
 * Emits `'drain'` when samples are taken again after `push` answered `false`.
 */
export class Push extends EventEmitter {
  private constructor()
  readonly mediaSessionId: string
  readonly session: Session
  /** Declares a track, before its first sample; its number. */
  track(codec: string, options?: TrackOptions): number
  /** Declares new headers, from the next sample on. */
  reconfigure(track: number, codec: string, options?: TrackOptions): void
  /** Hands in one access unit or frame; `false` where nothing was taken: push it again after `'drain'`. */
  push(track: number, data: Uint8Array, times: { pts: number; dts?: number; key?: boolean }): boolean
  /** Ends the stream; its files come as events. */
  end(): void
  on(name: 'drain', listener: () => void): this
  once(name: 'drain', listener: () => void): this
}

/** A running recording. Methods throw `LivereelError`: `not_found` once it has ended. */
export class Recording {
  private constructor()
  readonly recordingId: string
  /** Begins a new part at the next key frame. */
  rotate(): void
  /** Leaves out what follows; `keepGap` keeps the pause in the timeline. */
  pause(options?: { keepGap?: boolean }): void
  /** Goes on from the next key frame. */
  resume(): void
  /** Ends it and waits for its files; `timeout` after `timeoutMs` (15,000). */
  stop(options?: { timeoutMs?: number }): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * The recorder: listeners, threads, settings and events.
 *
 * A started engine keeps the process alive until it is stopped (`unref` lifts that). Listeners run
 * on the main thread; one that throws gives a process warning and harms nothing. An engine that is
 * collected, or left running at exit, finishes its files first.
 */
export class Engine extends EventEmitter {
  /** @throws LivereelError `invalid_config` with every problem at once. */
  constructor(options?: EngineOptions)
  /** Recovers what a crash left and opens the listeners. */
  start(): Promise<this>
  /** Ends every session, finishes every file, delivers the last event. */
  stop(options?: { timeoutMs?: number }): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
  /** `host:port` of a listener, while the engine runs. */
  address(protocol: 'rtmp' | 'http' | 'https' | 'webrtc'): string | undefined
  /** Every event from now on; ends after the last event of a stopped engine. Unbounded: read or return it. */
  events(): AsyncIterableIterator<EngineEvent>
  [Symbol.asyncIterator](): AsyncIterableIterator<EngineEvent>
  sessions(): SessionInfo[]
  session(mediaSessionId: string): Session
  recordings(): RecordingInfo[]
  recording(recordingId: string): Recording
  /** Begins a stream that the host hands in. */
  push(streamName: string, options?: PushOptions): Push
  /**
   * Pulls a stream from another server: `rtsp://` or `rtmp://`, credentials in the URL. Returns at once; a
   * source that is away or goes away is tried again until `terminate()`, and one recording covers it all.
   */
  pull(url: string, options?: PullOptions): Session
  /** Finishes growing files of dead engines, as `start` does by itself. */
  recover(): Promise<FinishedFile[]>
  /** Lets the process exit while the engine runs. */
  unref(): this
  ref(): this
  on<N extends keyof Names>(name: N, listener: (event: Names[N]) => void): this
  once<N extends keyof Names>(name: N, listener: (event: Names[N]) => void): this
  off<N extends keyof Names>(name: N, listener: (event: Names[N]) => void): this
}

/** The names of all events. */
export const EVENTS: readonly (keyof EngineEvents)[]
/** The codes of all errors. */
export const ERROR_CODES: readonly ErrorCode[]
/** The names of all settings. */
export const SETTINGS: readonly string[]
