//! Gets the exported functions' source.
//! Gives the committed header, or a failure where it is not what the source says.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::path::Path;
use std::process::Command;

const HEADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../include/livereel.h");

fn generated() -> String {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut header = Vec::new();
    cbindgen::Builder::new()
        .with_crate(crate_folder)
        .with_config(cbindgen::Config::from_file(crate_folder.join("cbindgen.toml")).unwrap())
        .generate()
        .unwrap()
        .write(&mut header);
    String::from_utf8(header).unwrap()
}

#[test]
fn the_committed_header_is_what_the_source_says() {
    let generated = generated();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(HEADER, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(HEADER).unwrap();
    assert!(
        committed == generated,
        "include/livereel.h is not up to date: UPDATE=1 cargo test -p livereel-ffi --test header"
    );
}

#[test]
fn the_header_compiles_without_a_warning_as_c99_and_as_cpp17() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (compiler, standard, file) in [("cc", "c99", "header.c"), ("c++", "c++17", "header.cpp")] {
        let source = folder.join(file);
        std::fs::write(
            &source,
            "#include <livereel.h>\n#include <livereel.h>\nint main(void);\nint main(void) {\n  \
             livereel_record_options options = LIVEREEL_RECORD_OPTIONS_INIT;\n  \
             return options.struct_size == 0 || options.rotation != NULL;\n}\n",
        )
        .unwrap();
        let output = Command::new(compiler)
            .args([
                format!("-std={standard}").as_str(),
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Wconversion",
                "-Werror",
            ])
            .args([
                "-fsyntax-only",
                "-I",
                concat!(env!("CARGO_MANIFEST_DIR"), "/../include"),
            ])
            .arg(&source)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{compiler}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
