//! Every promise of `docs/semantics.md`, each as a test with its name.

mod common;
mod damage;
mod every;
mod exists;
mod maintain;
mod offload;
mod read;
mod resume;
mod retry;
mod source;
mod status;
mod writer;

/// The files that hold a test for each sentence, and nothing else that is a test.
const FILES: &[&str] = &[
    include_str!("damage.rs"),
    include_str!("every.rs"),
    include_str!("exists.rs"),
    include_str!("maintain.rs"),
    include_str!("memory.rs"),
    include_str!("offload.rs"),
    include_str!("read.rs"),
    include_str!("resume.rs"),
    include_str!("retry.rs"),
    include_str!("source.rs"),
    include_str!("status.rs"),
    include_str!("writer.rs"),
];

/// The sentences of the lists in the document, as function names.
fn promises() -> Vec<String> {
    let lines = include_str!("../../docs/semantics.md").lines();
    let name = |sentence: &str| {
        let kept = |c: char| (c.is_ascii_alphanumeric() || c == ' ').then(|| c.to_ascii_lowercase());
        sentence.chars().filter_map(kept).collect::<String>().split_whitespace().collect::<Vec<_>>().join("_")
    };
    lines.filter_map(|line| line.strip_prefix("- ")).map(name).collect()
}

/// The names of the test functions.
fn tests() -> Vec<String> {
    let name =
        |text: &str| text.trim_start().strip_prefix("fn ")?.split_once('(').map(|(name, _)| name.to_owned());
    FILES.iter().flat_map(|file| file.split("#[test]").skip(1)).filter_map(name).collect()
}

#[test]
fn every_promise_has_its_test_and_every_test_its_promise() {
    let (promises, tests) = (promises(), tests());
    let missing = |from: &[String], of: &[String]| -> Vec<String> {
        from.iter().filter(|name| !of.contains(name)).cloned().collect()
    };
    assert_eq!(missing(&promises, &tests), Vec::<String>::new(), "promises without a test");
    assert_eq!(missing(&tests, &promises), Vec::<String>::new(), "tests without a promise");
    let mut once = promises.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), promises.len(), "a promise stands twice in the document");
    assert!(promises.len() > 50, "the document's lists were not found: {promises:?}");
}
