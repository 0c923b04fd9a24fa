//! What a host sees of the configuration: defaults, names, origins, and errors that help.

use seglift::config::{
    CacheVerify, CodecName, Config, Kind, PROPERTIES, Preset, Scope, Settings, Source, StoreDriver,
};
use seglift::{Code, logging::Level};
use std::{fs, time::Duration};

const MIB: usize = 1 << 20;

fn with(settings: &[(&str, &str)]) -> Settings {
    let mut config = Config::new();
    for (key, value) in settings {
        config.set(key, value).unwrap();
    }
    config.settings().unwrap()
}

/// The message of the error that setting these, or checking them together, gives.
fn refused(settings: &[(&str, &str)]) -> String {
    let mut config = Config::new();
    let set = settings.iter().try_for_each(|(key, value)| config.set(key, value));
    let error = set.and_then(|()| config.settings().map(drop)).unwrap_err();
    assert_eq!(error.code(), Code::InvalidConfig);
    error.message().to_string()
}

/// A config after loading `text` from a file of this name.
fn load_into(config: &mut Config, name: &str, text: &str) -> seglift::Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    config.load(&path)
}

fn source_of(config: &Config, key: &str) -> Source {
    config.describe().into_iter().find(|described| described.key == key).unwrap().source
}

#[test]
fn every_default_is_what_the_documents_promise() {
    let s = with(&[]);
    assert_eq!(s.engine_threads, (std::thread::available_parallelism().unwrap().get() / 4).clamp(1, 4));
    assert_eq!((s.memory_budget, s.memory_lent_limit, s.cache_memory_size), (128 * MIB, 64 * MIB, 48 * MIB));
    assert_eq!((s.cache_memory_verify, s.log_level), (CacheVerify::Fill, Some(Level::Info)));
    assert_eq!((s.owner.as_str(), s.store_driver, s.store_previous.len()), ("default", StoreDriver::Auto, 0));
    assert!(s.file_fsync);
    assert_eq!((s.codec, s.codec_zstd_level, s.block_size), (CodecName::Zstd, 1, 256 << 10));
    assert_eq!((s.upload_part_size, s.upload_concurrency, s.upload_verify_exists), (8 << 20, 4, false));
    assert_eq!(s.writer_max_size, 64 << 30);
    assert_eq!((s.read_fetch_size, s.read_concurrency, s.read_ahead_max), (4 * MIB, 4, 8 * MIB));
    let secs = Duration::from_secs;
    assert_eq!((s.deadline_read, s.deadline_offload, s.deadline_other), (secs(30), secs(600), secs(60)));
    assert_eq!(s.stall, secs(30));
    assert_eq!((s.policy_size_threshold, s.policy_age_threshold), (None, None));
    assert_eq!(s.policy_deletion_lag, Some(secs(4 * 3600)));
    assert_eq!((s.policy_retention_size, s.policy_retention_age), (None, None));
}

#[test]
fn each_fixed_default_is_a_value_that_its_own_setting_accepts() {
    for property in PROPERTIES {
        if let Preset::Fixed(text) = property.preset {
            Config::new().set(property.key, text).unwrap();
        }
    }
}

#[test]
fn each_word_of_a_choice_arrives_in_the_typed_settings() {
    for property in PROPERTIES {
        if let Kind::Choice(words) = property.kind {
            // Some words need another setting.
            let needed = |word: &str| match (property.key, word) {
                ("s3.sse", "customer") => {
                    ("s3.sse.customer.key", "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=")
                }
                ("s3.sse.kms.bucket.key", _) => ("s3.sse", "kms"),
                _ => ("owner", "default"),
            };
            let each = words.iter().map(|word| format!("{:?}", with(&[(property.key, word), needed(word)])));
            let different: std::collections::HashSet<_> = each.collect();
            assert_eq!(different.len(), words.len(), "{}", property.key);
        }
    }
}

#[test]
fn names_are_unique_in_the_table_and_in_the_environment() {
    let mut names: Vec<String> = PROPERTIES
        .iter()
        .flat_map(|p| p.aliases.iter().map(|a| a.name.to_string()).chain([p.key.to_string(), p.variable()]))
        .collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn a_described_config_set_again_is_the_same_config() {
    let mut first = Config::new();
    for (key, value) in
        [("codec", "none"), ("memory.budget", "1GB"), ("stall", "1500ms"), ("store.previous", "a;b")]
    {
        first.set(key, value).unwrap();
    }
    let mut second = Config::new();
    for described in first.describe() {
        if described.source != Source::Default {
            second.set(described.key, &described.value).unwrap();
        }
    }
    assert_eq!(first.settings().unwrap(), second.settings().unwrap());
}

#[test]
fn each_limit_is_allowed_and_one_step_beyond_it_is_not() {
    for property in PROPERTIES {
        let (inside, outside) = match property.kind {
            Kind::Size { min, max } => {
                ([min, max].map(|n| n.to_string()), [min.checked_sub(1), max.checked_add(1)])
            }
            Kind::Integer { min, max } => {
                let outside = [min - 1, max + 1].map(|n| n.to_string());
                let set = |text: &String| Config::new().set(property.key, text);
                assert!(set(&min.to_string()).is_ok() && set(&max.to_string()).is_ok(), "{}", property.key);
                assert!(outside.iter().all(|text| set(text).is_err()), "{}", property.key);
                continue;
            }
            Kind::Duration { min, max } => {
                let ms = [min, max].map(|d| d.as_millis() as u64);
                (ms.map(|n| format!("{n}ms")), [ms[0].checked_sub(1), Some(ms[1] + 1)])
            }
            _ => continue,
        };
        let unit = if matches!(property.kind, Kind::Duration { .. }) { "ms" } else { "" };
        for text in inside {
            Config::new().set(property.key, &text).unwrap();
        }
        for number in outside.into_iter().flatten() {
            let error = Config::new().set(property.key, &format!("{number}{unit}")).unwrap_err();
            assert!(error.message().contains(&property.kind.to_string()), "{error}");
        }
    }
}

#[test]
fn an_error_names_the_key_the_value_its_origin_and_what_is_allowed() {
    assert_eq!(
        refused(&[("upload.concurrency", "99")]),
        "upload.concurrency=99 (set as upload.concurrency): it is too large; allowed is a number, 1 to 64"
    );
    assert!(refused(&[("deadline.read", "30")]).contains("it has no unit (ms, s, m, h, d)"));
    assert!(refused(&[("block.size", "5000")]).contains("no power of two"));
    assert!(refused(&[("codec", "lz4")]).ends_with("allowed is one of zstd, none"));
    assert!(refused(&[("file.fsync", "yes")]).ends_with("allowed is true or false"));
    assert!(refused(&[("owner", "")]).ends_with("allowed is 1 to 128 characters, none a control character"));
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest_known_one() {
    assert!(refused(&[("upload.part.sise", "8MiB")]).ends_with("the nearest is upload.part.size"));
    assert!(refused(&[("seglift.stal", "1s")]).ends_with("the nearest is stall"));
    assert!(
        refused(&[("managedLedgerOffloadDeletionLagms", "1")]).ends_with("managedLedgerOffloadDeletionLagMs")
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused_with_both_names() {
    for (settings, names) in [
        (
            vec![("cache.memory.size", "256MiB")],
            ["cache.memory.size=256MiB", "memory.budget=128MiB (default)"],
        ),
        (vec![("memory.lent.limit", "129MiB")], ["memory.lent.limit=129MiB", "memory.budget=128MiB"]),
        (
            vec![("memory.budget", "16MiB"), ("read.fetch.size", "9MiB")],
            ["read.fetch.size=9MiB", "memory.budget=16MiB"],
        ),
        (vec![("read.ahead.max", "65MiB")], ["read.ahead.max=65MiB", "memory.budget"]),
        (
            vec![("policy.size.threshold", "2G"), ("policy.retention.size", "1G")],
            ["policy.retention.size=1GiB", "policy.size.threshold=2GiB"],
        ),
        (
            vec![("policy.age.threshold", "2d"), ("policy.retention.age", "1d")],
            ["policy.retention.age=1d", "policy.age.threshold=2d"],
        ),
    ] {
        let message = refused(&settings);
        assert!(names.iter().all(|name| message.contains(name)), "{message}");
    }
}

#[test]
fn settings_that_just_fit_each_other_are_allowed() {
    let s = with(&[
        ("cache.memory.size", "128MiB"),
        ("memory.lent.limit", "128MiB"),
        ("read.fetch.size", "64MiB"),
        ("read.ahead.max", "64MiB"),
        ("policy.size.threshold", "1G"),
        ("policy.retention.size", "1G"),
        ("policy.age.threshold", "1d"),
        ("policy.retention.age", "1d"),
    ]);
    assert_eq!((s.cache_memory_size, s.read_ahead_max), (s.memory_budget, s.memory_budget / 2));
}

#[test]
fn a_small_budget_needs_no_other_setting() {
    let s = with(&[("memory.budget", "16MiB")]);
    assert_eq!((s.memory_lent_limit, s.cache_memory_size), (8 * MIB, 6 * MIB));
}

#[test]
fn the_block_size_follows_the_codec_unless_it_is_told() {
    assert_eq!(with(&[("codec", "none")]).block_size, 64 << 10);
    assert_eq!(with(&[("codec", "none"), ("block.size", "0")]).block_size, 64 << 10);
    assert_eq!(with(&[("codec", "none"), ("block.size", "1MiB")]).block_size, MIB);
}

#[test]
fn zero_negative_and_a_number_are_three_different_thresholds() {
    let threshold = |text| with(&[("policy.size.threshold", text)]).policy_size_threshold;
    assert_eq!([threshold("0"), threshold("10MB"), threshold("-1")], [Some(0), Some(10_000_000), None]);
    let lag = |text| with(&[("policy.deletion.lag", text)]).policy_deletion_lag;
    assert_eq!([lag("0"), lag("-1")], [Some(Duration::ZERO), None]);
}

#[test]
fn pulsars_names_mean_the_native_settings_in_pulsars_units() {
    let s = with(&[
        ("managedLedgerOffloadAutoTriggerSizeThresholdBytes", "1000"),
        ("managedLedgerOffloadThresholdInSeconds", "90"),
        ("managedLedgerOffloadDeletionLagMs", "1500"),
        ("managedLedgerOffloadMaxBlockSizeInBytes", "67108864"),
        ("s3ManagedLedgerOffloadReadBufferSizeInBytes", "1048576"),
    ]);
    assert_eq!(s.policy_size_threshold, Some(1000));
    assert_eq!(s.policy_age_threshold, Some(Duration::from_secs(90)));
    assert_eq!(s.policy_deletion_lag, Some(Duration::from_millis(1500)));
    assert_eq!((s.upload_part_size, s.read_fetch_size), (64 << 20, MIB));
    let s = with(&[
        ("managedLedgerOffloadDeletionLagInMillis", "-1"),
        ("s3ManagedLedgerOffloadMaxBlockSizeInBytes", "5242880"),
        ("managedLedgerOffloadReadBufferSizeInBytes", "2097152"),
        ("managedLedgerOffloadThresholdInBytes", "7"),
    ]);
    assert_eq!((s.policy_deletion_lag, s.upload_part_size), (None, 5 << 20));
    assert_eq!((s.read_fetch_size, s.policy_size_threshold), (2 * MIB, Some(7)));
}

#[test]
fn under_pulsars_names_a_part_has_five_mebibytes_at_least_and_natively_less() {
    for name in ["managedLedgerOffloadMaxBlockSizeInBytes", "s3ManagedLedgerOffloadMaxBlockSizeInBytes"] {
        let message = refused(&[(name, "5242879")]);
        assert!(message.contains(name) && message.contains("5MiB or more"), "{message}");
    }
    assert_eq!(with(&[("upload.part.size", "1MiB")]).upload_part_size, 1 << 20);
}

#[test]
fn pulsars_driver_names_count_in_any_case() {
    for (text, driver, scheme) in [
        ("AWS-S3", StoreDriver::AwsS3, "s3"),
        ("s3", StoreDriver::S3, "s3"),
        ("Google-Cloud-Storage", StoreDriver::GoogleCloudStorage, "gs"),
        ("FileSystem", StoreDriver::Filesystem, "file"),
    ] {
        let s = with(&[("managedLedgerOffloadDriver", text)]);
        assert_eq!((s.store_driver, s.store_driver.scheme()), (driver, Some(scheme)));
    }
    assert!(refused(&[("managedLedgerOffloadDriver", "azureblob")]).contains("google-cloud-storage"));
}

#[test]
fn the_offloaders_directory_is_accepted_and_explained() {
    let mut config = Config::new();
    config.set("offloadersDirectory", "./offloaders").unwrap();
    assert_eq!(config.ignored()[0].name, "offloadersDirectory");
    assert!(config.ignored()[0].reason.contains("library"));
}

#[test]
fn the_caller_wins_over_files_files_over_the_environment_in_any_order_of_calls() {
    let set = |c: &mut Config| c.set("stall", "1s");
    let file = |c: &mut Config| load_into(c, "a.toml", "stall = '2s'\nowner = 'file'\n");
    let env = |c: &mut Config| {
        c.load_env([("SEGLIFT_STALL", "3s"), ("SEGLIFT_OWNER", "env"), ("SEGLIFT_CODEC", "none")])
    };
    type Step<'a> = &'a dyn Fn(&mut Config) -> seglift::Result<()>;
    let steps: [Step; 3] = [&set, &file, &env];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut config = Config::new();
        order.iter().for_each(|step| steps[*step](&mut config).unwrap());
        let s = config.settings().unwrap();
        assert_eq!((s.stall, s.owner.as_str(), s.codec), (Duration::from_secs(1), "file", CodecName::None));
        assert_eq!(source_of(&config, "stall"), Source::Set { name: "stall".into() });
        assert!(source_of(&config, "owner").to_string().ends_with("a.toml:2, owner"));
        assert_eq!(source_of(&config, "codec").to_string(), "environment variable SEGLIFT_CODEC");
        assert_eq!(source_of(&config, "block.size"), Source::Default);
    }
}

#[test]
fn every_native_setting_has_an_environment_variable() {
    for property in PROPERTIES {
        let value = Config::new().describe().into_iter().find(|d| d.key == property.key).unwrap().value;
        let mut config = Config::new();
        config.load_env([(property.variable(), value.clone())]).unwrap();
        let expected = if value.is_empty() {
            Source::Default
        } else {
            Source::Environment { variable: property.variable() }
        };
        assert_eq!(source_of(&config, property.key), expected);
    }
}

#[test]
fn foreign_variables_are_no_error_and_unknown_ones_of_ours_are_listed() {
    let mut config = Config::new();
    config.load_env([("PATH", "/bin"), ("SEGLIFT_STAL", "1s"), ("SEGLIFT_STALL", "")]).unwrap();
    assert_eq!(config.ignored().iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["SEGLIFT_STAL"]);
    assert_eq!(source_of(&config, "stall"), Source::Default);
    let error = config.load_env([("SEGLIFT_STALL", "soon")]).unwrap_err();
    assert!(error.message().contains("environment variable SEGLIFT_STALL"), "{error}");
}

#[test]
fn a_toml_file_may_hold_the_codec_and_its_level() {
    let mut config = Config::new();
    let text =
        "[codec]\nname = 'zstd'\nzstd.level = 3\n\n[policy]\nsize.threshold = -1\ndeletion.lag = '1h'\n";
    load_into(&mut config, "seglift.TOML", text).unwrap();
    let s = config.settings().unwrap();
    assert_eq!((s.codec, s.codec_zstd_level, s.policy_size_threshold), (CodecName::Zstd, 3, None));
}

#[test]
fn an_unknown_key_in_a_toml_file_is_an_error_with_its_line_and_changes_nothing() {
    let mut config = Config::new();
    let error =
        load_into(&mut config, "a.toml", "stall = '2s'\n\n[upload]\npart.sise = '8MiB'\n").unwrap_err();
    assert!(error.message().contains("a.toml:4") && error.message().contains("upload.part.size"), "{error}");
    assert_eq!(source_of(&config, "stall"), Source::Default);
}

#[test]
fn a_brokers_own_file_gives_what_is_ours_and_the_rest_is_listed() {
    let mut config = Config::new();
    let text = "# Pulsar\nzookeeperServers=\nmanagedLedgerOffloadDriver=filesystem\nmanagedLedgerDefaultEnsembleSize=2\n\
                managedLedgerOffloadDeletionLagMs=60000\nseglift.upload.concurrency=8\nupload.part.sise=1\n\
                offloadersDirectory=./offloaders\n";
    load_into(&mut config, "broker.conf", text).unwrap();
    let s = config.settings().unwrap();
    assert_eq!((s.store_driver, s.upload_concurrency), (StoreDriver::Filesystem, 8));
    assert_eq!(s.policy_deletion_lag, Some(Duration::from_secs(60)));
    assert!(
        source_of(&config, "policy.deletion.lag")
            .to_string()
            .ends_with(":5, managedLedgerOffloadDeletionLagMs")
    );
    let names: Vec<_> = config.ignored().iter().map(|i| i.name.as_str()).collect();
    assert_eq!(
        names,
        ["zookeeperServers", "managedLedgerDefaultEnsembleSize", "upload.part.sise", "offloadersDirectory"]
    );
    assert!(config.ignored()[2].reason.contains("did you mean upload.part.size?"));
    assert_eq!(config.ignored()[1].reason, "no setting of seglift");
}

#[test]
fn the_settings_of_kafkas_plugin_are_read_from_server_properties() {
    let mut config = Config::new();
    let text = "process.roles=broker\nremote.log.storage.manager.impl.prefix=rsm.config.\nrsm.config.store=s3://b/p\n\
                rsm.config.owner=kafka-a\nrsm.config.codec=none\nrsm.config.kafka.delete.timeout=10s\n";
    load_into(&mut config, "server.properties", text).unwrap();
    let s = config.settings().unwrap();
    assert_eq!((s.owner.as_str(), s.codec), ("kafka-a", CodecName::None));
    let names: Vec<_> = config.ignored().iter().map(|i| i.name.as_str()).collect();
    assert!(
        names.contains(&"rsm.config.store") && names.contains(&"rsm.config.kafka.delete.timeout"),
        "{names:?}"
    );
}

#[test]
fn a_typo_behind_our_prefix_is_an_error_even_in_a_brokers_file() {
    let error = load_into(&mut Config::new(), "broker.conf", "a=1\nseglift.stal=1s\n").unwrap_err();
    assert!(error.message().contains("broker.conf:2") && error.message().ends_with("stall"), "{error}");
}

#[test]
fn a_name_without_a_value_in_a_brokers_file_means_what_it_means_there() {
    let mut config = Config::new();
    load_into(
        &mut config,
        "broker.conf",
        "managedLedgerOffloadDriver=\ns3ManagedLedgerOffloadMaxBlockSizeInBytes=\n",
    )
    .unwrap();
    let s = config.settings().unwrap();
    assert_eq!((s.store_driver, s.upload_part_size), (StoreDriver::Auto, 64 << 20));
}

#[test]
fn an_empty_name_does_not_take_back_what_the_other_name_gave() {
    let mut config = Config::new();
    let text =
        "s3ManagedLedgerOffloadMaxBlockSizeInBytes=10485760\nmanagedLedgerOffloadMaxBlockSizeInBytes=\n";
    load_into(&mut config, "broker.conf", text).unwrap();
    assert_eq!(config.settings().unwrap().upload_part_size, 10 << 20);
}

#[test]
fn a_file_that_is_missing_or_far_too_large_is_a_clear_error() {
    let mut config = Config::new();
    let error = config.load("/nonexistent/seglift.toml").unwrap_err();
    assert!(
        error.code() == Code::InvalidConfig && error.message().contains("/nonexistent/seglift.toml"),
        "{error}"
    );
    let error = config.load("/dev/zero").unwrap_err();
    assert!(error.message().contains("more than 4 MiB"), "{error}");
}

#[test]
fn the_engines_settings_that_were_given_can_be_told_from_the_drivers() {
    let mut config = Config::new();
    config.set("memory.budget", "64MiB").unwrap();
    config.set("stall", "1s").unwrap();
    assert_eq!(config.given(Scope::Engine).collect::<Vec<_>>(), ["memory.budget"]);
    assert_eq!(config.given(Scope::Driver).collect::<Vec<_>>(), ["stall"]);
}
