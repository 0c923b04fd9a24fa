//! `seglift config`, and the settings of every command

use crate::run::{Place, Run};

#[test]
fn every_setting_says_where_it_came_from() {
    let place = Place::new();
    place.write("seglift.toml", b"[upload]\nconcurrency = 7\npart.size = \"16MiB\"\n");
    let mut command =
        place.command(["config", "--json", "--config", "seglift.toml", "--set", "upload.part.size=32MiB"]);
    let run = Run::from(command.env("SEGLIFT_READ_CONCURRENCY", "9").output().unwrap()).succeeds();
    let settings = run.json();
    let setting = |key: &str| settings.iter().find(|s| s["key"] == key).unwrap();
    assert_eq!(setting("upload.part.size")["value"], "32MiB");
    assert_eq!(setting("upload.part.size")["source"]["kind"], "set");
    let source = &setting("upload.concurrency")["source"];
    assert_eq!(
        (&source["kind"], &source["path"], &source["line"]),
        (&"file".into(), &"seglift.toml".into(), &2.into())
    );
    assert_eq!(setting("read.concurrency")["source"]["name"], "SEGLIFT_READ_CONCURRENCY");
    assert_eq!(setting("codec")["source"]["kind"], "default");
    assert!(settings.iter().all(|s| s["value"].is_string() && s["help"].is_string()));
}

#[test]
fn a_brokers_other_keys_are_listed_as_ignored() {
    let place = Place::new();
    place.write(
        "broker.conf",
        b"managedLedgerOffloadMaxBlockSizeInBytes=67108864\nzookeeperServers=zk\nclusterName=\n",
    );
    let text = place.run(["config", "--config", "broker.conf"]).succeeds().text();
    let line =
        |begin: &str| text.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{text}"));
    assert!(line("upload.part.size").contains("64MiB") && line("upload.part.size").contains("broker.conf:1"));
    assert!(line("ignored: zookeeperServers").contains("broker.conf:2"));
    let json = place.run(["config", "--config", "broker.conf", "--json"]).succeeds().json();
    assert!(json.iter().any(|object| object["ignored"] == "zookeeperServers"));
}

#[test]
fn one_setting_is_shown_with_its_documentation() {
    let place = Place::new();
    let text = place.run(["config", "upload.part.size"]).succeeds().text();
    assert!(
        text.starts_with("upload.part.size  8MiB")
            && text.contains("Allowed: ")
            && text.contains("Other names: "),
        "{text}"
    );
    place.run(["config", "no.such"]).ends(2);
    assert!(place.run(["config", "--changed"]).succeeds().out.is_empty());
}

#[test]
fn a_wrong_setting_stops_any_command_before_it_does_anything() {
    let place = Place::new();
    place.write("a", b"x");
    place
        .run(["offload", "a", "--to", &place.uri(), "--set", "uplod.part.size=8MiB"])
        .ends(2)
        .complains("upload.part.size");
    place.run(["offload", "a", "--to", &place.uri(), "--set", "upload.part.size=huge"]).ends(2);
    place.run(["offload", "a", "--to", &place.uri(), "--set", "nonsense"]).ends(2);
    place
        .run(["offload", "a", "--to", &place.uri(), "--config", "nosuch.toml"])
        .ends(2)
        .complains("nosuch.toml");
    assert!(place.files("tier").is_empty());
}

#[test]
fn a_setting_reaches_the_object() {
    let place = Place::new();
    place.offload("k", b"x", &["--set", "owner=cluster-7", "--set", "codec=none"]);
    let stat = place.run(["stat", &place.uri(), "k", "--json"]).succeeds().json().remove(0);
    assert_eq!((&stat["owner"], &stat["codec"]), (&"cluster-7".into(), &"none".into()));
}
