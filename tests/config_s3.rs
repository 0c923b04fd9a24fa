//! What a host sees of the settings of `s3://`: defaults, names, contradictions, and no secrets.

use seglift::{
    Code, Driver,
    config::{Config, S3Encryption, S3Probe, S3Settings, S3Style, Source},
    engine::{Engine, EngineOptions},
    store::s3::{Proxy, S3Options, Sse, complete_uri},
};
use std::{fs, path::Path, time::Duration};

const SECRET: &str = "hunter2/wJalrXUtnFEMI";
/// `openssl rand -base64 32`
const KEY: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";

fn config(settings: &[(&str, &str)]) -> Config {
    let mut config = Config::new();
    for (key, value) in settings {
        config.set(key, value).unwrap();
    }
    config
}

fn with(settings: &[(&str, &str)]) -> S3Settings {
    config(settings).settings().unwrap().s3
}

fn options(settings: &[(&str, &str)]) -> S3Options {
    S3Options::new(&config(settings).settings().unwrap(), false)
}

/// The message of the error that setting these, or checking them together, gives.
fn refused(settings: &[(&str, &str)]) -> String {
    let mut config = Config::new();
    let set = settings.iter().try_for_each(|(key, value)| config.set(key, value));
    let error = set.and_then(|()| config.settings().map(drop)).expect_err(&format!("{settings:?}"));
    assert_eq!(error.code(), Code::InvalidConfig);
    error.message().to_string()
}

fn source_of(config: &Config, key: &str) -> Source {
    config.describe().into_iter().find(|described| described.key == key).unwrap().source
}

#[test]
fn every_default_is_what_the_documents_promise() {
    let s = with(&[]);
    for text in [
        &s.bucket,
        &s.prefix,
        &s.endpoint,
        &s.sse_kms_key,
        &s.sse_kms_context,
        &s.storage_class,
        &s.ca_file,
        &s.no_proxy,
        &s.profile,
        &s.role_arn,
        &s.role_external_id,
    ] {
        assert_eq!(text, "");
    }
    for secret in [&s.sse_customer_key, &s.proxy, &s.access_key, &s.secret_key, &s.session_token] {
        assert!(secret.is_empty());
    }
    assert_eq!(
        (s.region.as_str(), s.acl.as_str(), s.role_session_name.as_str()),
        ("us-east-1", "none", "seglift")
    );
    assert_eq!((s.style, s.sse, s.sse_kms_bucket_key), (S3Style::Auto, S3Encryption::Auto, None));
    assert_eq!((s.trailers, s.conditional_writes), (S3Probe::Auto, S3Probe::Auto));
    assert_eq!(s.tags.len(), 0);
    assert_eq!((s.timeout_connect, s.timeout_attempt), (Duration::from_secs(5), Duration::from_secs(20)));
    assert!(!s.payload_signing && !s.anonymous);
}

#[test]
fn the_options_of_the_store_have_the_defaults_of_the_settings() {
    assert_eq!(format!("{:?}", options(&[])), format!("{:?}", S3Options::default()));
}

#[test]
fn each_setting_arrives_in_the_options_of_the_store() {
    let o = options(&[
        ("s3.endpoint", "http://minio:9000/"),
        ("s3.region", "eu-west-1"),
        ("s3.style", "virtual"),
        ("s3.sse", "kms"),
        ("s3.sse.kms.key", "alias/tier"),
        ("s3.sse.kms.context", r#"{"tenant":"a"}"#),
        ("s3.sse.kms.bucket.key", "true"),
        ("s3.storage.class", "STANDARD_IA"),
        ("s3.tags", "team=logs; cost centre=a=b"),
        ("s3.acl", "bucket-owner-full-control"),
        ("s3.ca.file", "/etc/ca.pem"),
        ("s3.proxy", "http://proxy:3128"),
        ("s3.no.proxy", "localhost,.internal"),
        ("s3.timeout.connect", "1s"),
        ("s3.timeout.attempt", "2s"),
        ("s3.payload.signing", "true"),
        ("s3.trailers", "off"),
        ("s3.conditional.writes", "on"),
        ("s3.access.key", "AKIA"),
        ("s3.secret.key", SECRET),
        ("s3.session.token", "token"),
        ("s3.role.arn", "arn:aws:iam::1:role/r"),
        ("s3.role.session.name", "broker-7"),
        ("s3.role.external.id", "id"),
    ]);
    assert_eq!((o.endpoint.as_deref(), o.region.as_str()), (Some("http://minio:9000"), "eu-west-1"));
    assert_eq!(o.style, S3Style::Virtual);
    let (key_id, context) = (Some("alias/tier".into()), Some(r#"{"tenant":"a"}"#.into()));
    assert_eq!(o.sse, Sse::Kms { key_id, context, bucket_key: Some(true) });
    assert_eq!(
        (o.storage_class.as_deref(), o.acl.as_deref()),
        (Some("STANDARD_IA"), Some("bucket-owner-full-control"))
    );
    assert_eq!(o.tags, [("team".into(), "logs".into()), ("cost centre".into(), "a=b".into())]);
    assert_eq!(o.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
    let Proxy::Url { url, except } = &o.proxy else { panic!("{:?}", o.proxy) };
    assert_eq!((url.reveal(), except.as_str()), ("http://proxy:3128", "localhost,.internal"));
    assert_eq!((o.connect_timeout, o.attempt_timeout), (Duration::from_secs(1), Duration::from_secs(2)));
    assert!(o.payload_signing);
    assert_eq!((o.trailers, o.conditional_writes), (S3Probe::Off, S3Probe::On));
    let credentials = o.credentials;
    let (key, secret) = credentials.fixed.unwrap();
    assert_eq!(
        (key.reveal(), secret.reveal(), credentials.session_token.unwrap().reveal()),
        ("AKIA", SECRET, "token")
    );
    let role = credentials.role.unwrap();
    assert_eq!((role.arn.as_str(), role.session_name.as_str()), ("arn:aws:iam::1:role/r", "broker-7"));
    assert_eq!(role.external_id.as_deref(), Some("id"));
    let customer = options(&[("s3.sse", "customer"), ("s3.sse.customer.key", KEY)]).sse;
    assert!(matches!(customer, Sse::Customer { key } if key.reveal() == KEY));
    assert_eq!(options(&[("s3.proxy", "NONE")]).proxy, Proxy::None);
    assert!(options(&[("s3.anonymous", "true")]).credentials.anonymous);
    assert_eq!(options(&[("s3.profile", "tier")]).credentials.profile.as_deref(), Some("tier"));
}

#[test]
fn pulsars_names_mean_the_same_with_and_without_s3_in_front() {
    for begin in ["managedLedgerOffload", "s3ManagedLedgerOffload"] {
        let s = with(&[
            (&format!("{begin}Bucket"), "logs"),
            (&format!("{begin}Region"), "eu-west-1"),
            (&format!("{begin}ServiceEndpoint"), "http://minio:9000"),
            (&format!("{begin}Role"), "arn:aws:iam::1:role/r"),
            (&format!("{begin}RoleSessionName"), "pulsar-s3-offload"),
        ]);
        assert_eq!(
            (s.bucket.as_str(), s.region.as_str(), s.endpoint.as_str()),
            ("logs", "eu-west-1", "http://minio:9000")
        );
        assert_eq!(
            (s.role_arn.as_str(), s.role_session_name.as_str()),
            ("arn:aws:iam::1:role/r", "pulsar-s3-offload")
        );
        assert_eq!(with(&[(&format!("{begin}Region"), "")]).region, "us-east-1");
    }
    let s = with(&[
        ("s3ManagedLedgerOffloadCredentialId", "AKIA"),
        ("s3ManagedLedgerOffloadCredentialSecret", SECRET),
    ]);
    assert_eq!((s.access_key.reveal(), s.secret_key.reveal()), ("AKIA", SECRET));
    let s =
        with(&[("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_SESSION_TOKEN", "t")]);
    assert_eq!((s.access_key.reveal(), s.session_token.reveal()), ("AKIA", "t"));
}

#[test]
fn a_brokers_file_with_every_name_and_no_value_is_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broker.conf");
    let names = [
        "Region",
        "Bucket",
        "ServiceEndpoint",
        "Role",
        "RoleSessionName",
        "CredentialId",
        "CredentialSecret",
    ];
    let lines = names.map(|name| format!("s3ManagedLedgerOffload{name}=\nmanagedLedgerOffload{name}=\n"));
    fs::write(&file, lines.concat()).unwrap();
    let mut config = Config::new();
    config.load(&file).unwrap();
    assert_eq!(config.settings().unwrap().s3, with(&[]));
}

#[test]
fn the_variables_of_awss_tools_count_behind_everything_else_and_the_specific_one_first() {
    let variables = [
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", "http://all:1"),
        ("AWS_ENDPOINT_URL_S3", "http://s3:1"),
        ("AWS_CA_BUNDLE", "/ca.pem"),
        ("AWS_S3_ENCRYPTION", "0"),
    ];
    let mut config = Config::new();
    config.load_env(variables).unwrap();
    let s = config.settings().unwrap().s3;
    assert_eq!(
        (s.region.as_str(), s.endpoint.as_str(), s.ca_file.as_str()),
        ("eu-central-1", "http://s3:1", "/ca.pem")
    );
    assert_eq!(s.sse, S3Encryption::Off);
    assert_eq!(source_of(&config, "s3.region").to_string(), "environment variable AWS_REGION");

    config.load_env([("SEGLIFT_S3_REGION", "us-west-2"), ("AWS_REGION", "eu-central-1")]).unwrap();
    assert_eq!(config.settings().unwrap().s3.region, "us-west-2");
    let mut config = with_all(&variables, &[("s3.region", "us-west-1")]);
    assert_eq!(config.settings().unwrap().s3.region, "us-west-1");
    config.set("s3.sse", "s3").unwrap();
    assert_eq!(config.settings().unwrap().s3.sse, S3Encryption::S3);

    let config =
        Config::new().with_others_environment([("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "x")]).unwrap();
    assert_eq!(config.settings().unwrap().s3.region, "x", "an empty variable counts as not given");
}

fn with_all(variables: &[(&str, &str)], settings: &[(&str, &str)]) -> Config {
    config(settings).with_others_environment(variables.iter().copied()).unwrap()
}

#[test]
fn a_variable_of_awss_tools_that_cannot_be_is_an_error_that_names_it() {
    for (variable, value) in [("AWS_S3_ENCRYPTION", "perhaps"), ("AWS_ENDPOINT_URL", "ftp://h")] {
        let error = Config::new().with_others_environment([(variable, value)]).unwrap_err();
        assert_eq!(error.code(), Code::InvalidConfig);
        assert!(error.message().contains(variable), "{error}");
    }
}

#[test]
fn the_words_of_aws_s3_encryption_mean_ours() {
    for (word, sse) in [
        ("0", S3Encryption::Off),
        ("false", S3Encryption::Off),
        ("1", S3Encryption::S3),
        ("AES256", S3Encryption::S3),
        ("aws:kms", S3Encryption::Kms),
        ("auto", S3Encryption::Auto),
    ] {
        assert_eq!(with_all(&[("AWS_S3_ENCRYPTION", word)], &[]).settings().unwrap().s3.sse, sse, "{word}");
    }
}

#[test]
fn settings_that_need_or_exclude_each_other_are_refused_with_both_names() {
    let arn = ("s3.role.arn", "arn:aws:iam::1:role/r");
    let keys = [("s3.access.key", "AKIA"), ("s3.secret.key", SECRET)];
    for (settings, names) in [
        (vec![keys[0]], ["s3.access.key", "s3.secret.key"]),
        (vec![keys[1]], ["s3.secret.key", "s3.access.key"]),
        (vec![("s3.session.token", SECRET)], ["s3.session.token", "s3.access.key"]),
        (vec![keys[0], keys[1], ("s3.profile", "p")], ["s3.access.key", "s3.profile"]),
        (vec![keys[0], keys[1], ("s3.anonymous", "true")], ["s3.access.key", "s3.anonymous"]),
        (vec![("s3.profile", "p"), ("s3.anonymous", "true")], ["s3.profile", "s3.anonymous"]),
        (vec![arn, ("s3.anonymous", "true")], ["s3.role.arn", "s3.anonymous"]),
        (vec![("s3.role.external.id", "x")], ["s3.role.external.id", "s3.role.arn"]),
        (vec![("s3.role.arn", "role/r")], ["s3.role.arn", "arn:aws:iam"]),
        (vec![("s3.role.session.name", "a b")], ["s3.role.session.name", "letters"]),
        (vec![("s3.sse.kms.key", "k")], ["s3.sse.kms.key", "s3.sse=kms"]),
        (vec![("s3.sse.kms.context", "{}")], ["s3.sse.kms.context", "s3.sse=auto"]),
        (vec![("s3.sse.kms.bucket.key", "true"), ("s3.sse", "s3")], ["s3.sse.kms.bucket.key", "s3.sse=s3"]),
        (vec![("s3.sse", "kms"), ("s3.sse.kms.context", "[1]")], ["s3.sse.kms.context", "JSON"]),
        (vec![("s3.sse", "kms"), ("s3.sse.kms.context", r#"{"a":1}"#)], ["s3.sse.kms.context", "JSON"]),
        (vec![("s3.sse", "customer")], ["s3.sse=customer", "s3.sse.customer.key"]),
        (vec![("s3.sse.customer.key", KEY)], ["s3.sse.customer.key", "s3.sse=auto"]),
        (
            vec![("s3.sse", "customer"), ("s3.sse.customer.key", "aHVudGVyMg==")],
            ["s3.sse.customer.key", "32 bytes"],
        ),
        (vec![("s3.proxy", "proxy:3128")], ["s3.proxy=(hidden)", "http://"]),
        (vec![("s3.no.proxy", "localhost")], ["s3.no.proxy", "s3.proxy"]),
        (vec![("s3.tags", "a")], ["s3.tags", "without ="]),
        (vec![("s3.tags", "=a")], ["s3.tags", "1 to 128"]),
        (vec![("s3.tags", "a=1;a=2")], ["s3.tags", "twice"]),
        (vec![("s3.tags", "a=;b=;c=;d=;e=;f=;g=;h=;i=;j=;k=")], ["s3.tags", "10"]),
        (vec![("s3.acl", "publik-read")], ["s3.acl", "public-read"]),
        (vec![("s3.endpoint", "ftp://h")], ["s3.endpoint", "http://"]),
    ] {
        let message = refused(&settings);
        assert!(names.iter().all(|name| message.contains(name)), "{message}");
        assert!(
            !message.contains(SECRET) && !message.contains(KEY) && !message.contains("aHVudGVyMg"),
            "{message}"
        );
    }
    with(&[("s3.tags", "a=;b=;c=;d=;e=;f=;g=;h=;i=;j=")]);
    with(&[keys[0], keys[1], arn, ("s3.role.external.id", "x")]);
}

#[test]
fn a_uri_that_names_no_bucket_is_completed_from_the_settings() {
    let complete = |uri: &str, settings: &[(&str, &str)]| {
        complete_uri(uri, &config(settings).settings().unwrap()).unwrap()
    };
    let logs = [("s3.bucket", "logs"), ("s3.prefix", "/tier a/")];
    for uri in ["", "s3:", "s3://", "S3://", "s3:///"] {
        assert_eq!(complete(uri, &logs).as_deref(), Some("s3://logs/tier%20a"), "{uri}");
    }
    let query = "?endpoint=http://minio:9000";
    assert_eq!(complete(&format!("s3://{query}"), &logs[..1]), Some(format!("s3://logs{query}")));
    for uri in ["s3://logs", "s3://logs/other", "file:///x", "memory:"] {
        assert_eq!(complete(uri, &logs), None, "{uri}");
    }
    assert_eq!(complete("s3://any", &[]), None);
    assert_eq!(complete("", &[]), None, "nothing says that it is S3");
    let error = complete_uri("s3://other/x", &config(&logs).settings().unwrap()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidConfig);
    assert!(error.message().contains("other") && error.message().contains("s3.bucket logs"), "{error}");
    let error = complete_uri("s3:", &Config::new().settings().unwrap()).unwrap_err();
    assert!(error.code() == Code::InvalidConfig && error.message().contains("set s3.bucket"), "{error}");
}

#[test]
fn a_driver_opens_by_settings_alone_and_says_where_it_is() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let uri = |uri, settings: &[(&str, &str)]| {
        Driver::open(&engine, uri, &config(settings)).map(|d| d.uri().to_owned())
    };
    let minio = ("s3.endpoint", "http://minio:9000");
    let pulsar = [
        ("managedLedgerOffloadDriver", "S3"),
        ("managedLedgerOffloadBucket", "logs"),
        ("managedLedgerOffloadServiceEndpoint", "http://minio:9000"),
    ];
    assert_eq!(uri("", &pulsar).unwrap(), "s3://logs?endpoint=minio:9000");
    assert_eq!(uri("s3://logs/a", &[minio]).unwrap(), "s3://logs/a?endpoint=minio:9000");
    let error = uri("", &pulsar[..2]).unwrap_err();
    assert!(error.code() == Code::InvalidConfig && error.message().contains("s3.endpoint"), "{error}");
    let error = uri("s3://other", &[("s3.bucket", "logs"), minio]).unwrap_err();
    assert_eq!(error.code(), Code::InvalidConfig, "{error}");
    let error =
        uri("", &[("managedLedgerOffloadDriver", "filesystem"), ("s3.bucket", "logs"), minio]).unwrap_err();
    assert!(error.message().contains("store.driver"), "{error}");
}

#[test]
fn planted_secrets_appear_in_no_text_that_the_library_makes() {
    let url = format!("http://user:{SECRET}@proxy:3128");
    let secrets = [
        ("s3.access.key", SECRET),
        ("s3.secret.key", SECRET),
        ("s3.session.token", SECRET),
        ("s3.proxy", &url),
        ("s3.sse", "customer"),
        ("s3.sse.customer.key", KEY),
        ("s3.endpoint", "http://127.0.0.1:1"),
    ];
    let config = config(&secrets);
    let settings = config.settings().unwrap();
    let options = S3Options::new(&settings, false);
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let driver = Driver::open(&engine, "s3://logs", &config).unwrap();
    let mut shown = format!("{config:?} {settings:?} {options:?} {} {:?}", driver.uri(), config.describe());
    while let Some(line) = engine.log().poll() {
        shown += &line.to_string();
    }
    for secret in [SECRET, KEY] {
        let at = shown.find(secret).map(|at| &shown[at.saturating_sub(200)..at]);
        assert_eq!(at, None, "what stands before the secret");
    }
}

#[test]
fn credentials_inside_a_uri_are_refused_and_not_repeated() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    for planted in ["hunter2wJalr", "hunter2/wJalr", "hunter2@wJalr"] {
        let uri = format!("s3://AKIA:{planted}@logs/x");
        for (key, address) in [
            ("store.previous", format!("s3://fine;{uri}")),
            ("s3.endpoint", format!("http://AKIA:{planted}@minio")),
            ("s3.tags", format!("a={uri}")),
        ] {
            let message = refused(&[(key, &address)]);
            assert!(message.contains(key) && message.contains("(hidden)"), "{message}");
            assert!(!message.contains("hunter2") && !message.contains("wJalr"), "{message}");
        }
        for given in [&uri, &format!("s3://logs?endpoint=http://AKIA:{planted}@h")] {
            let bucket = config(&[("s3.bucket", "other")]);
            for config in [&Config::new(), &bucket] {
                let error = Driver::open(&engine, given, config).map(drop).unwrap_err();
                assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            }
        }
    }
}
