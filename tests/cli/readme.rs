//! What the README says about the command line

use crate::run::{Place, log};

/// The commands of a chapter of the README, without their comments.
fn commands(chapter: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let text = readme.split(&format!("\n## {chapter}\n")).nth(1).expect("the chapter is there");
    let block = text.split("```").nth(1).expect("the chapter has a block of commands");
    let lines = block.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(String::from).collect()
}

#[test]
fn the_commands_of_the_readme_work_as_printed() {
    let place = Place::new();
    place.write("segment.log", &log(3000));
    let mut key = String::new();
    let commands = commands("The command line");
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let command = command.replace("file:///var/tier", &place.uri()).replace("KEY", &key);
        let arguments: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(arguments[0], "seglift", "{command}");
        let run = place.run(&arguments[1..]).succeeds();
        assert!(!run.out.is_empty(), "{command} printed nothing");
        match arguments[1] {
            "offload" => key = run.text().trim().to_string(),
            "cat" if arguments.contains(&"--salvage") => assert_eq!(run.out, log(3000), "{command}"),
            "cat" => assert_eq!(run.out, log(3000)[1000..2000], "{command}"),
            _ => {}
        }
    }
}
