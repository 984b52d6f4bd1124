//! `livereel-server`: the recorder as a program of its own, on the public API of the library alone.
//!
//! Events go to standard output, one JSON object a line; logs and progress go to standard error.
//! SIGINT and SIGTERM finish all files; a second signal ends the program at once, and the next start
//! recovers what was growing.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use livereel::engine::{Config, Engine, config};
use livereel::media::{ErrorKind, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

mod flags;

/// What `sysexits` calls a usage error is 64; shells and clap say 2.
const WRONG_SETTINGS: u8 = 2;

fn main() -> ExitCode {
    let matches = flags::command().get_matches();
    let level = if matches.get_flag(flags::VERBOSE) {
        "livereel=debug"
    } else {
        "livereel=info"
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("LIVEREEL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("livereel-server: {error}");
            let settings = matches!(error.kind(), ErrorKind::InvalidConfig | ErrorKind::InvalidArgument);
            if settings {
                ExitCode::from(WRONG_SETTINGS)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(matches: &clap::ArgMatches) -> Result<()> {
    let config = flags::config(matches)?;
    if matches.get_flag(flags::PRINT_SCHEMA) {
        println!("{:#}", config::json_schema());
        return Ok(());
    }
    if matches.get_flag(flags::PRINT_CONFIG) {
        print!("{}", config.resolve()?.to_toml());
        return Ok(());
    }
    let recover_only = matches.get_flag(flags::RECOVER);
    if !recover_only && !listens(&config)? {
        return Err(livereel::media::Error::new(
            ErrorKind::InvalidConfig,
            "start",
            "nothing to listen on: give --rtmp-listen 127.0.0.1:1935 or --http-listen 127.0.0.1:8081, or --help for all settings",
        ));
    }
    let engine = Engine::new(config)?;
    // A callback and not a queue: a finished file counts as told only when its line is written.
    engine.on_event(|event| {
        // A reader that is gone must not stop a recording: files are finished all the same.
        let _ = writeln!(std::io::stdout().lock(), "{}", event.to_json());
    });
    if recover_only {
        engine.recover()?;
    } else {
        serve(&engine, matches.get_flag(flags::PROGRESS))?;
    }
    drop(engine);
    Ok(())
}

fn listens(config: &Config) -> Result<bool> {
    let settings = config.resolve()?.settings;
    let listen = [settings.rtmp_listen, settings.http_listen, settings.https_listen];
    Ok(listen.iter().any(Option::is_some))
}

/// Runs until a signal, then finishes everything.
fn serve(engine: &Engine, progress: bool) -> Result<()> {
    let (stop, stopped) = mpsc::channel();
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the second signal finds the flag set by the first and ends the program.
        let registered = signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stopping))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stopping)));
        registered.map_err(|error| livereel::media::Error::io("watch for signals", error))?;
    }
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .map_err(|error| livereel::media::Error::io("watch for signals", error))?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            let _ = stop.send(());
        }
    });
    engine.start()?;
    loop {
        match stopped.recv_timeout(Duration::from_secs(1)) {
            Err(mpsc::RecvTimeoutError::Timeout) if progress => print_progress(engine),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    debug_assert!(stopping.load(Ordering::Relaxed));
    engine.stop(None)
}

fn print_progress(engine: &Engine) {
    for recording in engine.recordings() {
        eprintln!(
            "{} part {} {:.1} s {:.1} MiB{}",
            recording.file_name,
            recording.part,
            recording.duration_ms as f64 / 1000.0,
            recording.size_bytes as f64 / (1024.0 * 1024.0),
            if recording.paused { " paused" } else { "" }
        );
    }
}
