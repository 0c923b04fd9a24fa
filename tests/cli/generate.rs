//! `seglift completions` and `seglift man`

use crate::run::Place;

const COMMANDS: [&str; 14] = [
    "offload",
    "cat",
    "get",
    "ls",
    "stat",
    "verify",
    "rm",
    "reap",
    "sweep",
    "doctor",
    "status",
    "config",
    "completions",
    "man",
];

#[test]
fn completions_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(["completions", shell]).succeeds().text();
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
        assert!(
            script.contains("recursive") && script.contains("first-id"),
            "{shell} does not know the options"
        );
    }
}

#[test]
fn the_shell_takes_its_completions() {
    let place = Place::new();
    let script = place.run(["completions", "bash"]).succeeds().out;
    place.write("completions.bash", &script);
    let check =
        std::process::Command::new("sh").args(["-n"]).arg(place.path("completions.bash")).output().unwrap();
    // dash knows no arrays; where sh is bash it must like the script, and elsewhere bash is asked.
    if !check.status.success() && std::path::Path::new("/bin/bash").exists() {
        let bash = std::process::Command::new("/bin/bash")
            .arg("-n")
            .arg(place.path("completions.bash"))
            .output()
            .unwrap();
        assert!(bash.status.success(), "{}", String::from_utf8_lossy(&bash.stderr));
    }
}

#[test]
fn there_is_a_page_for_every_command() {
    let place = Place::new();
    place.run(["man", "--dir", "man"]).succeeds();
    let pages = place.files("man");
    for command in COMMANDS {
        assert!(pages.contains(&format!("seglift-{command}.1")), "{pages:?}");
    }
    for page in pages {
        let text = String::from_utf8(place.read(&format!("man/{page}"))).unwrap();
        let title = text.lines().find(|line| line.starts_with(".TH ")).unwrap().to_string();
        let foot = concat!("\"seglift ", env!("CARGO_PKG_VERSION"), "\" \"seglift manual\"");
        assert!(title.contains(foot), "{page} does not say of which version it is: {title}");
    }
    let page = place.run(["man"]).succeeds().text();
    assert!(
        page.contains(".TH") && page.contains("141") && page.contains("standard output went away"),
        "{page}"
    );
    place.run(["man", "--dir", "/dev/null/man"]).ends(1);
}

#[test]
fn help_and_version_go_to_standard_output() {
    let place = Place::new();
    for arguments in [&["--help"][..], &["--version"], &["offload", "--help"], &["help", "rm"]] {
        let run = place.run(arguments).succeeds();
        assert!(!run.out.is_empty() && run.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_document_names_every_exit_status_and_command() {
    let document = include_str!("../../docs/cli.md");
    let help = Place::new().run(["--help"]).succeeds().text();
    let statuses = help.split("Exit status:").nth(1).unwrap();
    for line in statuses.lines().filter(|line| !line.trim().is_empty()) {
        let (status, _) = line.trim().split_once(' ').unwrap();
        assert!(
            document.contains(&format!("| {status} |")),
            "docs/cli.md does not know the exit status {status}"
        );
    }
    for command in COMMANDS {
        assert!(document.contains(&format!("`seglift {command}")), "docs/cli.md does not know {command}");
    }
}
