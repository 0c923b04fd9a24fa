//! The committed header is what src/ffi says, and everything in it can be found through both doors.
//!
//! `SEGLIFT_BLESS=1 cargo test --test abi_header` writes the header anew.

use std::{collections::BTreeSet, fs, path::PathBuf};

/// The chapters of the header: the first function of each, and its title. The functions stand in the order of
/// [`FILES`].
const CHAPTERS: &[(&str, &str)] = &[
    ("seglift_version", "Versions and codes"),
    ("seglift_error_code", "Errors"),
    ("seglift_config_new", "Configuration"),
    ("seglift_engine_open", "Engines: most programs need none"),
    ("seglift_open", "Drivers"),
    ("seglift_cancel_new", "Cancelling"),
    ("seglift_offload_segment", "Offload"),
    ("seglift_read_range", "Reading ranges"),
    ("seglift_bytes_data", "Bytes"),
    ("seglift_read_records", "Reading records"),
    ("seglift_read_attachment", "Attachments and what is known of a segment"),
    ("seglift_verify", "Verify"),
    ("seglift_delete", "Delete"),
    ("seglift_list_open", "What lies in the store"),
    ("seglift_writer_open", "Writing a segment in pieces"),
    ("seglift_queue_new", "Completion queues"),
    (
        "seglift_offload_segment_submit",
        "Asynchronous calls: the same arguments without the outputs, then queue, user_data, op",
    ),
    ("seglift_op_cancel", "Operations in flight"),
    ("seglift_status", "Status, metrics, logs"),
    ("seglift_plan", "Policy"),
    ("seglift_reap", "Clean-up: abandoned uploads"),
    ("seglift_sweep_begin", "Clean-up: objects that nobody refers to"),
    ("seglift_verify_damage", "Verify: where the damage is"),
    ("seglift_get_api", "The table, for dlopen"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The files of src/ffi that have a part in the header, in its order: that of a first program.
const FILES: &[&str] = &[
    "codes",
    "error",
    "config",
    "engine",
    "driver",
    "cancel",
    "call",
    "receipt",
    "segment",
    "offload",
    "read",
    "bytes",
    "records",
    "info",
    "verify",
    "delete",
    "list",
    "writer",
    "queue",
    "submit",
    "operation",
    "observe",
    "policy",
    "cleanup",
    "sweep",
    "damage",
    "api",
    "table",
];

fn sources() -> impl Iterator<Item = PathBuf> {
    FILES.iter().map(|name| root().join(format!("src/ffi/{name}.rs")))
}

fn generate() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    let builder = sources().fold(cbindgen::Builder::new().with_config(config), |b, s| b.with_src(s));
    let mut out = Vec::new();
    builder.generate().expect("cbindgen understands src/ffi").write(&mut out);
    let mut header = on_one_line(&String::from_utf8(out).expect("cbindgen writes UTF-8"));
    for (function, title) in CHAPTERS {
        let at = declaration(&header, function)
            .unwrap_or_else(|| panic!("{function} begins a chapter but is not declared"));
        let comment = header[..at].rfind("/**").expect("every function has a comment");
        header.insert_str(comment, &format!("/* ---- {title} ---- */\n\n"));
    }
    header
}

/// cbindgen gives every comment three lines at least. A short one reads better on one, and constants without
/// empty lines between.
fn on_one_line(header: &str) -> String {
    let lines: Vec<_> = header.lines().collect();
    let (mut short, mut i) = (Vec::new(), 0);
    while i < lines.len() {
        let indent = lines[i].len() - lines[i].trim_start().len();
        let ends = lines.get(i + 2).is_some_and(|l| l.trim() == "*/");
        match lines.get(i + 1).and_then(|l| l.trim_start().strip_prefix("* ")) {
            Some(text) if lines[i].trim() == "/**" && ends && indent + text.len() + 7 <= 120 => {
                short.push(format!("{}/** {text} */", &lines[i][..indent]));
                i += 3;
            }
            _ => {
                short.push(lines[i].to_owned());
                i += 1;
            }
        }
    }
    let after_constant =
        |i: usize| i > 0 && short[i].is_empty() && short[i - 1].starts_with("#define SEGLIFT_");
    let next = |i: usize| short[i + 1..].iter().find(|l| !l.starts_with(['/', ' ']));
    let packed = |i: usize| after_constant(i) && next(i).is_some_and(|l| l.starts_with("#define SEGLIFT_"));
    (0..short.len()).filter(|i| !packed(*i)).map(|i| format!("{}\n", short[i])).collect()
}

/// The functions that the header declares, in its order, and where each declaration begins.
fn declarations(header: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = header.split_inclusive('\n').scan(0, |next, line| {
        *next += line.len();
        Some((*next - line.len(), line))
    });
    lines.filter(|(_, line)| !line.starts_with([' ', '/', '#', '}'])).filter_map(|(at, line)| {
        let before = line.split_once('(')?.0;
        let name = &before[before.rfind("seglift_")?..];
        Some((at, name))
    })
}

fn declaration(header: &str, function: &str) -> Option<usize> {
    declarations(header).find(|(_, name)| *name == function).map(|(at, _)| at)
}

fn declared(header: &str) -> Vec<String> {
    declarations(header).map(|(_, name)| name.to_owned()).collect()
}

/// The members of the table.
fn members(header: &str) -> Vec<String> {
    let from = header.find("typedef struct seglift_api {").expect("the table is in the header");
    let table = &header[from..from + header[from..].find("} seglift_api;").expect("the table ends")];
    let mut names: Vec<_> = table.match_indices("(*").map(|(at, _)| &table[at + 2..]).collect();
    // A pointer to a function among the parameters of one is no member.
    names.retain(|rest| !rest.starts_with("callback)"));
    // cbindgen appends a line to what is a word of C++: delete_.
    let name = |rest: &&str| rest[..rest.find(')').expect("a name ends")].trim_end_matches('_').to_owned();
    names.iter().map(|rest| format!("seglift_{}", name(rest))).collect()
}

/// What the files of src/ffi export, whether the list above has them or not.
fn exported() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root().join("src/ffi")).expect("src/ffi") {
        let text = fs::read_to_string(entry.expect("a source file").path()).expect("a source file");
        for (at, _) in text.match_indices("#[unsafe(no_mangle)]") {
            let rest = &text[at..];
            let from = rest.find("seglift_").expect("exports begin with seglift_");
            names.insert(
                rest[from..from + rest[from..].find('(').expect("an export is a function")].to_owned(),
            );
        }
    }
    names
}

#[test]
fn the_committed_header_is_what_the_sources_say() {
    let path = root().join("include/seglift.h");
    let fresh = generate();
    if std::env::var_os("SEGLIFT_BLESS").is_some() {
        fs::write(&path, &fresh).expect("include/seglift.h can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if let Some((i, (old, new))) = committed.lines().zip(fresh.lines()).enumerate().find(|(_, (a, b))| a != b)
    {
        panic!("include/seglift.h:{} is\n{old}\nbut src/ffi says\n{new}\nrun `make bless`", i + 1);
    }
    assert_eq!(
        committed.len(),
        fresh.len(),
        "include/seglift.h is shorter or longer than a fresh one: run `make bless`"
    );
}

#[test]
fn every_export_is_declared_in_the_header_and_the_other_way_round() {
    let header = read("include/seglift.h");
    assert_eq!(declared(&header).into_iter().collect::<BTreeSet<_>>(), exported());
}

#[test]
fn the_table_has_every_function_in_the_order_of_the_header() {
    let header = read("include/seglift.h");
    let mut functions = declared(&header);
    assert_eq!(
        functions.pop().as_deref(),
        Some("seglift_get_api"),
        "the way to the table is not in it and comes last"
    );
    let differs = members(&header).into_iter().zip(&functions).find(|(member, function)| member != *function);
    assert_eq!(differs, None, "the first member that differs from the function at its place");
    assert_eq!(members(&header).len(), functions.len());
}

/// Functions, structs and their fields, each with its own comment. The members of the table have none: they are functions.
fn documented(header: &str) -> Vec<(String, String)> {
    let (mut all, mut comment, mut of) = (Vec::new(), String::new(), None);
    for line in header.lines() {
        let text = line.trim_start();
        if text.starts_with("/*") {
            comment.clear();
        }
        if text.starts_with(['/', '*']) {
            comment += text;
        } else if let Some(name) = line.strip_prefix("typedef struct ") {
            let name = name.split([' ', ';']).next().unwrap();
            of = line.ends_with('{').then_some(name);
            all.push((name.to_owned(), comment.clone()));
        } else if line.starts_with('}') {
            of = None;
        } else if let Some(of) = of.filter(|of| *of != "seglift_api")
            && text.ends_with(';')
        {
            let name = text.trim_end_matches(';').rsplit([' ', '*']).next().unwrap();
            all.push((format!("{of}.{name}"), comment.clone()));
        } else if let Some((_, name)) = declarations(line).next() {
            all.push((name.to_owned(), comment.clone()));
        }
    }
    all
}

/// The minor number of a header's interface.
fn minor(header: &str) -> u32 {
    let (_, number) = header.split_once("#define SEGLIFT_ABI_MINOR ").expect("a header has a version");
    number.lines().next().unwrap().parse().expect("a minor number")
}

#[test]
fn what_an_older_header_lacks_says_since_which_later_one_it_is_there() {
    let header = read("include/seglift.h");
    let older: BTreeSet<_> = documented(&read("bindings/c/tests/headers/1.0/seglift.h"))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let names: BTreeSet<_> = documented(&header).into_iter().map(|(name, _)| name).collect();
    assert!(names.is_superset(&older), "gone are {:?}", older.difference(&names));
    assert!(names.len() > 200 && names.contains("seglift_segment.resume"), "{names:?}");
    let later = 1..=minor(&header);
    for (name, comment) in documented(&header) {
        let says = later.clone().any(|minor| comment.contains(&format!("Since 1.{minor}")));
        // The fields of a new struct are as old as it.
        let of_new = name.split_once('.').is_some_and(|(of, _)| !older.contains(of));
        assert_eq!(says, !older.contains(&name) && !of_new, "{name} of 1.{}:\n{comment}", later.end());
    }
}

#[test]
fn every_function_says_since_when_it_exists() {
    let header = read("include/seglift.h");
    for (at, function) in declarations(&header) {
        let comment = &header[header[..at].rfind("/**").expect("a comment")..at];
        assert!(comment.contains("Since 1."), "the comment of {function} lacks \"Since\":\n{comment}");
    }
}
