//! Gets the shared library and the source.
//! Gives a failure where the library exports something else than `symbols.txt`, or a function lacks its guard.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const SYMBOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/symbols.txt");

/// The shared library. Cargo does not build it for a test by itself.
fn library() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "-p", "livereel-ffi", "--lib", "--message-format=json"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let path = messages
        .split('"')
        .find(|text| text.ends_with("/liblivereel.so"))
        .unwrap();
    PathBuf::from(path)
}

fn lines(of: &str) -> BTreeSet<String> {
    of.lines().map(str::to_owned).collect()
}

#[test]
fn the_shared_library_exports_what_is_committed_and_nothing_else() {
    let output = Command::new("nm")
        .args(["-D", "--defined-only", "--format=just-symbols"])
        .arg(library())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let exported = lines(&String::from_utf8(output.stdout).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        let text: String = exported.iter().map(|name| format!("{name}\n")).collect();
        std::fs::write(SYMBOLS, text).unwrap();
    }
    let committed = lines(&std::fs::read_to_string(SYMBOLS).unwrap());
    assert_eq!(
        exported, committed,
        "symbols.txt is not up to date: UPDATE=1 cargo test -p livereel-ffi --test symbols"
    );
    assert!(
        exported.iter().all(|name| name.starts_with("livereel_")),
        "{exported:?}"
    );
}

#[test]
fn the_shared_library_has_its_soname_and_stays_loaded() {
    let output = Command::new("readelf")
        .args(["-d", "--wide"])
        .arg(library())
        .output()
        .unwrap();
    let dynamic = String::from_utf8(output.stdout).unwrap();
    assert!(dynamic.contains("soname: [liblivereel.so.0]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}

#[test]
fn every_exported_function_begins_with_a_guard_against_panics() {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for function in source.split("#[unsafe(no_mangle)]").skip(1) {
            let name = function
                .split("fn ")
                .nth(1)
                .unwrap()
                .split('(')
                .next()
                .unwrap()
                .to_owned();
            let body = function.split_once("{\n").unwrap().1.trim_start();
            assert!(
                body.starts_with("guard(") || body.starts_with("guard_value("),
                "{name} in {}",
                path.display()
            );
            let whole = body.split("\n}\n").next().unwrap();
            assert!(
                !whole.contains("\n    }\n    "),
                "{name} in {} does something after its guard",
                path.display()
            );
            found.insert(name);
        }
        assert_eq!(
            source.matches("no_mangle").count(),
            source.matches("#[unsafe(no_mangle)]").count()
        );
        assert!(!source.contains("export_name"), "{}", path.display());
    }
    assert_eq!(found, lines(&std::fs::read_to_string(SYMBOLS).unwrap()));
}
