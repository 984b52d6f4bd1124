//! Gets the sources of this crate.
//! Gives a failure for each `use` that points up or sideways between layers, and for each file that
//! does not open with what it gets and gives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::{Path, PathBuf};

/// The folders of `src` and their layer: a file may name folders of lower layers and its own.
const LAYERS: &[(&str, u32)] = &[
    ("media", 0),
    ("codec", 1),
    ("isobmff", 1),
    ("ingest", 2),
    ("audio", 2),
    ("mux", 2),
    ("storage", 2),
    ("clip", 2),
    ("recording", 3),
    ("engine", 4),
    ("rest", 5),
];

fn layer(folder: &str) -> Option<u32> {
    LAYERS.iter().find(|(name, _)| *name == folder).map(|(_, layer)| *layer)
}

/// Every source below `src`, as a path from there and its text.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&root).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 10, "the sources were not found");
    found
}

/// The folder of `src` that a file belongs to: `mux` for `mux/mp4/mod.rs` and for `mux.rs`.
fn folder_of(path: &Path) -> &str {
    let first = path.iter().next().unwrap().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The lines of `text` with comments and string literals blanked, so that only code is looked at.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (skip, kept) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), "")
        } else if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |end| end + 2), "")
        } else if rest.starts_with("'\"'") {
            (3, "")
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            (raw.find("\"#").map_or(rest.len(), |end| end + 5), "")
        } else if first == '"' {
            (string_end(rest), "")
        } else {
            (first.len_utf8(), &rest[..first.len_utf8()])
        };
        out.push_str(kept);
        // Line numbers stay.
        if kept.is_empty() {
            out.extend(rest[..skip].chars().filter(|c| *c == '\n'));
        }
        rest = &rest[skip..];
    }
    out
}

/// How long the string literal is that `text` begins with.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The top folders that code names through `crate::`, each with its line number, from 1.
fn named_folders(code: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let is_other_word = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if is_other_word {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + path.len()..];
        named.extend(first_segments(rest).into_iter().map(|name| (line, name)));
    }
    named
}

/// `mux::Output` names `mux`; `{codec::h264, media::{Error, Result}}` names `codec` and `media`.
fn first_segments(rest: &str) -> Vec<String> {
    let identifier = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = rest.strip_prefix('{') else {
        return vec![identifier(rest)];
    };
    let mut names = vec![identifier(group)];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(identifier(&group[at + 1..])),
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// What is wrong with a file of `folder` that has `text`, one sentence each.
fn upward_edges(folder: &str, text: &str) -> Vec<String> {
    let own = layer(folder);
    let mut wrong = Vec::new();
    for (line, target) in named_folders(&code(text)) {
        let (Some(own), Some(other)) = (own, layer(&target)) else {
            continue;
        };
        if target != folder && other >= own {
            let how = if other > own {
                "points up to"
            } else {
                "sees its sibling"
            };
            wrong.push(format!("line {line}: {folder}/ (L{own}) {how} {target}/ (L{other})"));
        }
    }
    wrong
}

#[test]
fn every_use_points_to_a_lower_layer() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let edges = upward_edges(folder_of(&path), &text);
        wrong.extend(edges.into_iter().map(|edge| format!("src/{}, {edge}", path.display())));
    }
    assert!(
        wrong.is_empty(),
        "move the shared thing down, or hand it in from above:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_folder_has_a_layer() {
    let unknown: Vec<_> = sources()
        .iter()
        .map(|(path, _)| folder_of(path).to_owned())
        .filter(|folder| folder != "lib" && layer(folder).is_none())
        .collect();
    assert!(unknown.is_empty(), "not in LAYERS, nor in ARCHITECTURE.md: {unknown:?}");
}

#[test]
fn every_file_opens_with_what_it_gets_and_gives() {
    let without: Vec<_> = sources()
        .iter()
        .filter(|(path, _)| {
            // Tests and the crate's root tell their own story.
            let name = path.file_stem().unwrap();
            path != Path::new("lib.rs") && name != "tests" && !path.iter().any(|part| part == "tests")
        })
        .filter(|(_, text)| {
            let opening: Vec<_> = text.lines().take_while(|line| line.starts_with("//!")).collect();
            let gets = opening.first().is_some_and(|line| line.starts_with("//! Gets "));
            !gets || !opening.iter().any(|line| line.starts_with("//! Gives "))
        })
        .map(|(path, _)| format!("src/{}", path.display()))
        .collect();
    assert!(
        without.is_empty(),
        "these do not open with `//! Gets …` and `//! Gives …`:\n{}",
        without.join("\n")
    );
}

#[test]
fn an_upward_edge_is_found_in_every_form_of_use() {
    let found = |text| upward_edges("mux", text).len();
    assert_eq!(found("use crate::media::{Error, Result};\nuse crate::codec::h264;"), 0);
    assert_eq!(found("use crate::recording::Part;"), 1);
    assert_eq!(found("pub(crate) use crate::storage;"), 1);
    assert_eq!(
        found("use crate::{\n    media::{Error, Result},\n    engine::Engine,\n};"),
        1
    );
    assert_eq!(found("fn f() -> crate::ingest::Protocol { g(\"crate::engine\") }"), 1);
    assert_eq!(
        found("// crate::engine::Engine\nlet quote = '\"'; crate::rest::page()"),
        1
    );
    assert_eq!(found("use crate::mux::mp4;"), 0);
    assert_eq!(found("use other_crate::engine::Engine;"), 0);
}
