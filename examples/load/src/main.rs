//! `livereel-load`: replays an FLV file to many RTMP streams at once, at little cost of its own, so
//! that a server can be measured beside it on the same machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use publisher::{Pace, Sent, Target};
use replay::Replay;

mod amf;
mod chunk;
mod flv;
mod publisher;
mod replay;

/// Replays an FLV file to many RTMP streams at once.
///
/// The file is read and cut into chunks once; every publisher sends the same bytes. Ends with one
/// JSON object on standard output that says what was sent, and with exit code 1 where a stream failed.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// The FLV file to send.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,

    /// Where to publish: rtmp://host[:port]/app. Several are taken in turn.
    #[arg(long, required = true, value_name = "URL")]
    url: Vec<String>,

    /// How many streams.
    #[arg(long, default_value_t = 1, value_name = "N")]
    publishers: u32,

    /// Streams are named PREFIX-0, PREFIX-1 and so on.
    #[arg(long, default_value = "load", allow_hyphen_values = true)]
    prefix: String,

    /// Put behind every stream name after a question mark, such as "record=false".
    #[arg(long, default_value = "")]
    query: String,

    /// Media seconds to send, in passes through the file with rising timestamps; without it, one pass.
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,

    /// Media seconds a second; 0 is as fast as the server reads.
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    speed: f64,

    /// Payload bytes in a chunk.
    #[arg(long, default_value_t = 4096, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(128..=0xff_ffff))]
    chunk_size: u32,

    /// The first timestamp in milliseconds; near 4294967295 the stream wraps.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    start_timestamp: u32,

    /// The time over which the streams start, evenly spread.
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    spread_ms: u64,

    /// End by closing the socket without a word.
    #[arg(long)]
    abrupt: bool,
}

/// What standard output gets.
#[derive(Serialize)]
struct Summary {
    publishers: u32,
    failed: usize,
    wall_seconds: f64,
    total_bytes: u64,
    max_lag_ms: u64,
    streams: Vec<Sent>,
}

// One thread: the generator must not take the cores that the measured server runs on.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(summary) => {
            match serde_json::to_string(&summary) {
                Ok(json) => println!("{json}"),
                Err(error) => eprintln!("livereel-load: {error}"),
            }
            ExitCode::from(u8::from(summary.failed > 0))
        }
        Err(problem) => {
            eprintln!("livereel-load: {problem}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> Result<Summary, String> {
    let is_wrong = |number: f64| !number.is_finite() || number < 0.0;
    if is_wrong(arguments.speed) || arguments.seconds.is_some_and(is_wrong) {
        return Err("--speed and --seconds take a number from 0".to_owned());
    }
    let targets = arguments
        .url
        .iter()
        .map(|url| Target::parse(url))
        .collect::<Result<Vec<_>, _>>()?;
    let tags = flv::read(&arguments.input)?;
    let chunk_size = usize::try_from(arguments.chunk_size).unwrap_or(usize::MAX);
    let replay = Arc::new(Replay::new(&tags, arguments.start_timestamp, chunk_size));
    drop(tags);
    let pace = Pace {
        speed: arguments.speed,
        length_ms: arguments.seconds.map(|seconds| (seconds * 1000.0) as u64),
        is_abrupt: arguments.abrupt,
        chunk_size,
    };
    if replay.only_once && pace.length_ms.is_some_and(|length| length > replay.length_ms) {
        return Err("the times of this file go back somewhere: it can be sent once only".to_owned());
    }

    let started = Instant::now();
    let mut running = JoinSet::new();
    for (index, target) in (0..arguments.publishers).zip(targets.into_iter().cycle()) {
        let mut stream = format!("{}-{index}", arguments.prefix);
        if !arguments.query.is_empty() {
            stream = format!("{stream}?{}", arguments.query);
        }
        let delay_ms = arguments.spread_ms * u64::from(index) / u64::from(arguments.publishers);
        let begin = started + Duration::from_millis(delay_ms);
        let replay = Arc::clone(&replay);
        running.spawn(async move {
            tokio::time::sleep_until(begin).await;
            publisher::publish(&target, stream, &replay, pace).await
        });
    }
    let mut streams = running.join_all().await;
    streams.sort_by(|a, b| (a.stream.len(), &a.stream).cmp(&(b.stream.len(), &b.stream)));
    Ok(Summary {
        publishers: arguments.publishers,
        failed: streams.iter().filter(|sent| sent.error.is_some()).count(),
        wall_seconds: started.elapsed().as_secs_f64(),
        total_bytes: streams.iter().map(|sent| sent.bytes).sum(),
        max_lag_ms: streams.iter().map(|sent| sent.max_lag_ms).max().unwrap_or(0),
        streams,
    })
}
