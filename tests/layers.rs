//! Dependencies point down (ARCHITECTURE.md): which rooms of the crate a room may name.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A room and those that it may use, from the bottom up.
const ROOMS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("pause", &[]),
    ("small_file", &[]),
    ("clock", &["error"]),
    ("metrics", &["error"]),
    ("logging", &["error", "clock", "metrics"]),
    ("config", &["error", "logging"]),
    ("status", &["error"]),
    ("policy", &["clock", "config", "error"]),
    ("buf", &["error"]),
    ("codec", &["error"]),
    ("object", &["codec", "error"]),
    ("engine", &["buf", "config", "error", "metrics", "logging", "clock", "status"]),
    (
        "store",
        &["object", "codec", "buf", "engine", "config", "error", "metrics", "logging", "clock", "status"],
    ),
    ("cache", &["object", "codec", "buf", "engine", "config", "error", "metrics", "logging", "clock"]),
    (
        "reader",
        &[
            "cache", "store", "object", "codec", "buf", "engine", "config", "error", "metrics", "logging",
            "clock",
        ],
    ),
    (
        "writer",
        &[
            "cache",
            "store",
            "object",
            "codec",
            "buf",
            "engine",
            "config",
            "error",
            "metrics",
            "logging",
            "clock",
            "small_file",
        ],
    ),
    (
        "maintain",
        &[
            "reader",
            "cache",
            "store",
            "object",
            "codec",
            "engine",
            "config",
            "error",
            "metrics",
            "logging",
            "clock",
            "small_file",
        ],
    ),
    (
        "driver",
        &[
            "maintain", "reader", "writer", "cache", "store", "object", "codec", "buf", "engine", "config",
            "error", "metrics", "logging", "clock", "policy",
        ],
    ),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files_of(room: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let single = source().join(format!("{room}.rs"));
    if single.is_file() {
        files.push(single);
    }
    let mut folders = vec![source().join(room)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "the room {room} has no files");
    files
}

/// What the code (not its comments) names as `crate::room`, also inside `use crate::{ … }`. Tests inside of a file may
/// look anywhere.
fn names(text: &str) -> BTreeSet<String> {
    let code: String = text
        .split("#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default()
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.extend(first_word(rest)),
            Some(list) => {
                let (mut depth, mut start) = (0, true);
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && !c.is_whitespace() => {
                            start = false;
                            found.extend(first_word(&list[i..]));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn first_word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    Some(text[..end].to_owned()).filter(|word| !word.is_empty())
}

#[test]
fn no_room_uses_one_above_it() {
    let rooms: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).chain(["ffi"]).collect();
    let mut wrong = Vec::new();
    for (room, allowed) in ROOMS {
        for file in files_of(room) {
            let text = fs::read_to_string(&file).unwrap();
            for name in names(&text) {
                if rooms.contains(&name.as_str()) && name != *room && !allowed.contains(&name.as_str()) {
                    wrong.push(format!("{}: {room} must not use {name}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "dependencies point down (ARCHITECTURE.md):\n{}", wrong.join("\n"));
}

#[test]
fn the_watcher_of_layers_sees_every_way_to_name_a_room() {
    let text = "use crate::{\n    buf::Pool, // crate::ffi\n    store::{Body, Key},\n    error::Result,\n};\nfn f() { crate::driver::g() }\n#[cfg(test)]\nmod tests { use crate::ffi; }";
    assert_eq!(names(text).into_iter().collect::<Vec<_>>(), ["buf", "driver", "error", "store"]);
}
