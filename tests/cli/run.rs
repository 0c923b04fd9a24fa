//! A store in a temporary folder, and the binary to try on it.

use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};
use tempfile::TempDir;

/// A folder with a store `tier` in it; commands run in the folder.
pub struct Place {
    dir: TempDir,
}

/// What a run gave.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tier")).unwrap();
        Place { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The store's URI.
    pub fn uri(&self) -> String {
        format!("file://{}", self.path("tier").display())
    }

    /// The store's URI with faults, such as `get=1:UNAVAILABLE`.
    #[cfg(feature = "testing")]
    pub fn faulty(&self, script: &str) -> String {
        format!("fault+{}?{script}", self.uri())
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// The binary, without the settings of whoever runs the tests.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seglift"));
        for (name, _) in std::env::vars_os() {
            let ours = |name: &str| {
                let name = name.to_ascii_uppercase();
                name.starts_with("SEGLIFT_") || name.starts_with("AWS_") || name.ends_with("_PROXY")
            };
            if name.to_str().is_some_and(ours) {
                command.env_remove(name);
            }
        }
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Run {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs with `input` on standard input.
    pub fn run_with<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>, input: &[u8]) -> Run {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A command that fails early does not read it all.
        let feeder = thread::spawn(move || _ = stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        output.into()
    }

    /// Offloads `bytes` under `key`.
    pub fn offload(&self, key: &str, bytes: &[u8], more: &[&str]) {
        let source = self.write("source", bytes);
        let uri = self.uri();
        let mut arguments = vec!["offload", source.to_str().unwrap(), "--to", &uri, "--key", key];
        arguments.extend(more);
        self.run(arguments).succeeds();
        fs::remove_file(source).unwrap();
    }

    /// Every file below `name`, by its path from there, in order.
    pub fn files(&self, name: &str) -> Vec<String> {
        fn walk(root: &Path, at: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(root, &path, found),
                    false => found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_string()),
                }
            }
        }
        let (mut found, root) = (Vec::new(), self.path(name));
        walk(&root, &root, &mut found);
        found.sort();
        found
    }

    /// Flips one bit of an object.
    pub fn damage(&self, key: &str, at: usize) {
        let path = self.path("tier").join(key);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 4;
        // Objects may be read-only, and are never changed in place.
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let status = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0));
        Run { status, out: output.stdout, err: String::from_utf8(output.stderr).unwrap() }
    }
}

impl Run {
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.ends(0)
    }

    #[track_caller]
    pub fn ends(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.text(), self.err);
        self
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_string).collect()
    }

    /// Standard output as JSON lines: every line must be an object.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        let parse =
            |line: String| serde_json::from_str::<Value>(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let objects: Vec<Value> = self.lines().into_iter().map(parse).collect();
        assert!(objects.iter().all(Value::is_object));
        objects
    }

    /// That standard error says `text`, as an error in one line.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        let said = self.err.lines().any(|line| line.starts_with("seglift: ") && line.contains(text));
        assert!(said, "no error says \"{text}\":\n{}", self.err);
        self
    }
}

/// Text that compresses as logs do: `n` bytes, the same each time.
pub fn log(n: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(n + 100);
    let mut x = 1u32;
    for i in 0.. {
        if bytes.len() >= n {
            break;
        }
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        writeln!(
            bytes,
            "{i:012} level=info user={} took={} ms path=/api/v1/items/{}",
            x >> 20,
            x >> 24,
            x >> 8
        )
        .unwrap();
    }
    bytes.truncate(n);
    bytes
}
