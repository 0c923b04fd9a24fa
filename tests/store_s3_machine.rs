//! What a machine gives to `s3://`: credentials from wherever AWS's own tools find them, region, endpoint, proxy.
//!
//! The environment belongs to a process, so each test runs the command line in one of its own, against servers that
//! note who asked them for what.

#[path = "s3_support/fakes.rs"]
mod fakes;

use fakes::{Fake, Reply, credentials_json, in_seconds, instance, listing, ok, status, sts};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// What `secret` begins with in all credentials of the fakes.
const PLANTED: &str = "secret-of-";

struct Machine {
    home: tempfile::TempDir,
    s3: Fake,
}

struct Ran {
    ok: bool,
    status: Option<i32>,
    text: String,
}

impl Machine {
    fn new() -> Machine {
        Machine::with(Fake::start(|_, _| listing(&["k"], None)))
    }

    fn with(s3: Fake) -> Machine {
        Machine { home: tempfile::tempdir().unwrap(), s3 }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// `seglift ls` of the bucket in an environment of `variables` alone.
    fn list(&self, variables: &[(&str, &str)], settings: &[&str]) -> Ran {
        let endpoint = format!("s3.endpoint={}", self.s3.url());
        self.list_at(variables, &[&[endpoint.as_str()], settings].concat())
    }

    fn list_at(&self, variables: &[(&str, &str)], settings: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seglift"));
        command.env_clear().env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin");
        if !variables.iter().any(|(name, _)| name.starts_with("AWS_EC2_METADATA")) {
            command.env("AWS_EC2_METADATA_DISABLED", "true");
        }
        command.envs(variables.iter().copied()).args(["ls", "s3://bucket"]);
        settings.iter().for_each(|setting| _ = command.args(["--set", setting]));
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(!text.contains(PLANTED) && !text.contains("token-of-"), "a secret is shown: {text}");
        Ran { ok: output.status.success(), status: output.status.code(), text }
    }

    /// Lists the bucket with credentials of `key`, as S3 saw it.
    #[track_caller]
    fn lists_as(&self, key: &str, variables: &[(&str, &str)], settings: &[&str]) {
        let ran = self.list(variables, settings);
        assert!(ran.ok, "{}", ran.text);
        let seen = self.s3.seen();
        let last = seen.last().unwrap();
        assert_eq!(last.signed_by(), key);
        if key.starts_with("ASIA") {
            assert_eq!(last.header("x-amz-security-token"), format!("token-of-{key}"));
        }
    }

    /// The message of a listing that fails.
    #[track_caller]
    fn fails(&self, variables: &[(&str, &str)], settings: &[&str]) -> String {
        let ran = self.list(variables, settings);
        assert!(!ran.ok, "{}", ran.text);
        ran.text
    }
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "secret-of-AKIAENV")];

#[test]
fn the_environment_gives_credentials_region_and_endpoint() {
    let machine = Machine::new();
    let url = machine.s3.url();
    let token = ("AWS_SESSION_TOKEN", "token-of-x");
    let ran = machine
        .list_at(&[KEYS[0], KEYS[1], token, ("AWS_REGION", "eu-west-1"), ("AWS_ENDPOINT_URL", &url)], &[]);
    assert!(ran.ok, "{}", ran.text);
    let seen = machine.s3.seen();
    assert_eq!((seen[0].signed_by(), seen[0].header("x-amz-security-token")), ("AKIAENV", "token-of-x"));
    assert!(seen[0].header("authorization").contains("/eu-west-1/s3/"), "{seen:?}");
    assert!(seen[0].target.starts_with("/bucket/?"), "path style: {}", seen[0].target);
}

#[test]
fn settings_win_over_the_environment_and_take_no_token_from_it() {
    let machine = Machine::new();
    let settings = ["s3.access.key=AKIASET", "s3.secret.key=secret-of-AKIASET"];
    machine.lists_as("AKIASET", &[KEYS[0], KEYS[1], ("AWS_SESSION_TOKEN", "token-of-x")], &settings);
    assert_eq!(machine.s3.seen()[0].header("x-amz-security-token"), "");
}

#[test]
fn pulsars_own_variables_count_for_its_driver_s3_alone() {
    let machine = Machine::new();
    let variables = [("ACCESS_KEY_ID", "AKIAPULSAR"), ("ACCESS_KEY_SECRET", "secret-of-AKIAPULSAR")];
    machine.lists_as("AKIAPULSAR", &variables, &["managedLedgerOffloadDriver=S3"]);
    holds(&machine.fails(&variables, &[]), &["no credentials were found"]);
}

#[test]
fn an_anonymous_request_is_not_signed_and_asks_nobody() {
    let machine = Machine::new();
    machine.lists_as("", &KEYS, &["s3.anonymous=true"]);
}

#[test]
fn a_profile_gives_credentials_and_region_and_an_explicit_one_is_asked_alone() {
    let machine = Machine::new();
    machine.write(
        ".aws/credentials",
        "[default]\naws_access_key_id=AKIADEFAULT\naws_secret_access_key=secret-of-d\n\
         [tier]\naws_access_key_id=AKIATIER\naws_secret_access_key=secret-of-t\n",
    );
    machine.write(".aws/config", "[default]\nregion=eu-north-1\n[profile tier]\nregion=eu-south-1\n");
    let region =
        || machine.s3.seen().last().unwrap().header("authorization").split('/').nth(2).unwrap().to_owned();
    machine.lists_as("AKIADEFAULT", &[], &[]);
    assert_eq!(region(), "eu-north-1");
    machine.lists_as("AKIATIER", &[("AWS_PROFILE", "tier")], &[]);
    assert_eq!(region(), "eu-south-1");
    machine.lists_as("AKIATIER", &KEYS, &["s3.profile=tier"]);
    machine.lists_as("AKIAENV", &KEYS, &[]);
    machine.lists_as("AKIATIER", &[("AWS_REGION", "eu-west-2")], &["s3.profile=tier"]);
    assert_eq!(region(), "eu-west-2");
    holds(&machine.fails(&KEYS, &["s3.profile=nosuch"]), &["the AWS profile nosuch", "gave no credentials"]);
}

#[test]
fn a_profile_may_assume_a_role_with_another_profiles_keys() {
    let (machine, sts) = (Machine::new(), sts("ASIAROLE"));
    machine.write(
        ".aws/config",
        "[profile tier]\nrole_arn=arn:aws:iam::1:role/tier\nsource_profile=base\nexternal_id=ext\n\
         [profile base]\naws_access_key_id=AKIABASE\naws_secret_access_key=secret-of-b\n",
    );
    machine.lists_as("ASIAROLE", &[("AWS_ENDPOINT_URL_STS", &sts.url())], &["s3.profile=tier"]);
    let asked = &sts.seen()[0];
    assert_eq!(asked.signed_by(), "AKIABASE");
    holds(&asked.body, &["Action=AssumeRole", "role%2Ftier", "ExternalId=ext"]);
}

#[test]
fn a_role_is_assumed_with_its_session_name_and_external_id() {
    let (machine, sts) = (Machine::new(), sts("ASIAROLE"));
    let settings = [
        "s3ManagedLedgerOffloadRole=arn:aws:iam::1:role/tier",
        "s3ManagedLedgerOffloadRoleSessionName=broker-7",
        "s3.role.external.id=ext-42",
    ];
    machine.lists_as("ASIAROLE", &[KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL_STS", &sts.url())], &settings);
    let asked = &sts.seen()[0];
    assert_eq!(asked.signed_by(), "AKIAENV");
    holds(
        &asked.body,
        &["Action=AssumeRole", "RoleSessionName=broker-7", "ExternalId=ext-42", "role%2Ftier"],
    );
}

#[test]
fn a_role_that_may_not_be_assumed_is_named_with_what_sts_said() {
    let machine = Machine::new();
    let sts = Fake::start(|_, _| Reply {
        status: 403,
        ..ok(
            "text/xml",
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>AccessDenied</Code><Message>User broker is not authorized to perform: sts:AssumeRole</Message></Error>\
             <RequestId>r</RequestId></ErrorResponse>",
        )
    });
    let variables = [KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL_STS", &sts.url())];
    let text = machine.fails(&variables, &["s3.role.arn=arn:aws:iam::1:role/tier"]);
    holds(
        &text,
        &["arn:aws:iam::1:role/tier", "the environment", "AccessDenied", "not authorized to perform"],
    );
    assert_eq!(machine.s3.seen().len(), 0);
}

#[test]
fn credentials_that_the_store_refuses_are_named_with_their_end() {
    let imds = instance(&["ASIAINSTANCE"], 3600);
    let machine = Machine::with(Fake::start(|_, _| Reply {
        status: 403,
        ..ok(
            "application/xml",
            "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>",
        )
    }));
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url())];
    let ran = machine.list(&[(variables[0].0, &variables[0].1)], &["retry.attempts=2"]);
    assert_eq!(ran.status, Some(8), "{}", ran.text);
    holds(&ran.text, &["the credentials of the instance metadata service, valid until 20", "ExpiredToken"]);
    let asked = imds.seen().iter().filter(|request| request.target.ends_with("tier-role")).count();
    assert_eq!(asked, 2, "new ones were asked for before the second attempt");
}

#[test]
fn who_has_credentials_and_cannot_give_them_just_now_is_worth_another_try() {
    let machine = Machine::new();
    let token = machine.write("token", "jwt");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = |status, code: &'static str| {
        Fake::start(move |_, _| {
            let text = format!(
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Receiver</Type>\
                 <Code>{code}</Code><Message>not now</Message></Error><RequestId>r</RequestId></ErrorResponse>"
            );
            Reply { status, ..ok("text/xml", text) }
        })
    };
    let (ill, busy) = (error(503, "ServiceUnavailable"), error(400, "Throttling"));
    let gone = format!("http://{closed}");
    let web = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"),
    ];
    let role = ["s3.role.arn=arn:aws:iam::1:role/tier", "retry.attempts=1"];
    for (sts, told) in [
        (ill.url(), ["in trouble", "not now"]),
        (busy.url(), ["fewer requests", "not now"]),
        (gone, ["did not answer", "network"]),
    ] {
        let sts = ("AWS_ENDPOINT_URL_STS", sts.as_str());
        for (variables, settings) in [(KEYS, &role[..]), (web, &role[1..])] {
            let ran = machine.list(&[variables[0], variables[1], sts], settings);
            assert_eq!(ran.status, Some(7), "{}", ran.text);
            holds(&ran.text, &told);
        }
    }
    let container = Fake::start(|_, _| status(500));
    let uri = format!("{}/v1/credentials", container.url());
    let ran = machine.list(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri)], &role[1..]);
    assert_eq!(ran.status, Some(7), "{}", ran.text);
    holds(&ran.text, &["the container", "in trouble"]);
    assert_eq!(machine.s3.seen().len(), 0);
}

#[test]
fn web_identity_sends_the_token_of_its_file() {
    let (machine, sts) = (Machine::new(), sts("ASIAWEB"));
    let token = machine.write("token", "jwt-of-the-pod");
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod"),
        ("AWS_ROLE_SESSION_NAME", "pod-1"),
        ("AWS_ENDPOINT_URL_STS", &sts.url()),
    ];
    machine.lists_as("ASIAWEB", &variables, &[]);
    let asked = &sts.seen()[0];
    holds(
        &asked.body,
        &["Action=AssumeRoleWithWebIdentity", "WebIdentityToken=jwt-of-the-pod", "RoleSessionName=pod-1"],
    );
    assert_eq!(asked.signed_by(), "", "the token itself proves who asks");
}

#[test]
fn a_container_gives_credentials_for_its_token() {
    let machine = Machine::new();
    let container = Fake::start(|request, _| match request.header("authorization") {
        "Bearer pod" => ok("application/json", credentials_json("ASIAPOD", &in_seconds(3600))),
        _ => status(403),
    });
    let uri = format!("{}/v1/credentials", container.url());
    let token = machine.write("token", "Bearer pod");
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str());
    machine.lists_as("ASIAPOD", &[full, ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer pod")], &[]);
    machine.lists_as(
        "ASIAPOD",
        &[full, ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap())],
        &[],
    );
    let text = machine.fails(&[full, ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Bearer other")], &[]);
    holds(&text, &["the container", "gave no credentials"]);
    assert_eq!(container.seen()[0].target, "/v1/credentials");
}

#[test]
fn an_instance_gives_credentials_by_version_2_of_its_metadata_service() {
    let (machine, imds) = (Machine::new(), instance(&["ASIAINSTANCE"], 3600));
    machine.lists_as("ASIAINSTANCE", &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &imds.url())], &[]);
    let asked: Vec<_> = imds.seen().into_iter().map(|request| (request.method, request.target)).collect();
    assert_eq!(asked[0], ("PUT".into(), "/latest/api/token".into()));
    assert!(
        !asked.iter().any(|(_, target)| target.contains("placement")),
        "no look-up of the region: {asked:?}"
    );
}

#[test]
fn credentials_that_end_soon_are_renewed_between_two_requests_of_one_operation() {
    // Valid for 12 s: of use until 10 s before their end, which has passed when the second page is asked for.
    let imds = instance(&["ASIAFIRST", "ASIASECOND"], 12);
    let machine = Machine::with(Fake::start(|_, earlier| match earlier {
        0 => {
            thread::sleep(Duration::from_millis(2500));
            listing(&["a"], Some("next"))
        }
        _ => listing(&["b"], None),
    }));
    machine.lists_as("ASIASECOND", &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &imds.url())], &[]);
    let signed: Vec<_> = machine.s3.seen().iter().map(|request| request.signed_by().to_owned()).collect();
    assert_eq!(signed, ["ASIAFIRST", "ASIASECOND"]);
}

#[test]
fn a_process_gives_credentials_and_its_arguments_are_not_shown_when_it_fails() {
    let machine = Machine::new();
    let script = |name: &str, text: &str| {
        let path = machine.write(name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    };
    let good = script(
        "good",
        r#"echo '{"Version":1,"AccessKeyId":"ASIAPROCESS","SecretAccessKey":"s","SessionToken":"token-of-ASIAPROCESS"}'"#,
    );
    let bad = script("bad", "echo 'the vault is sealed' >&2; exit 3");
    machine.write(
        ".aws/config",
        &format!("[profile good]\ncredential_process={good}\n[profile bad]\ncredential_process={bad} {PLANTED}argument\n"),
    );
    machine.lists_as("ASIAPROCESS", &[], &["s3.profile=good"]);
    holds(&machine.fails(&[], &["s3.profile=bad"]), &["the AWS profile bad", "the vault is sealed"]);
}

#[test]
fn single_sign_on_gives_credentials_for_its_cached_token() {
    let machine = Machine::new();
    let portal = Fake::start(|request, _| match request.header("x-amz-sso_bearer_token") {
        "sso-token" => ok(
            "application/json",
            r#"{"roleCredentials":{"accessKeyId":"ASIASSO","secretAccessKey":"s","sessionToken":"token-of-ASIASSO",
            "expiration":4102444800000}}"#,
        ),
        _ => status(401),
    });
    machine.write(
        ".aws/config",
        "[profile sso]\nsso_start_url=https://seglift.example/start\nsso_region=us-east-1\nsso_account_id=123456789012\n\
         sso_role_name=Tier\n",
    );
    // The file is named by the SHA-1 of the start URL.
    let cached = ".aws/sso/cache/2419b73b5d9b372fc089e2beb92c8bb1d56e019b.json";
    let url = portal.url();
    let variables = [("AWS_ENDPOINT_URL_SSO", url.as_str())];
    let text = machine.fails(&variables, &["s3.profile=sso"]);
    holds(&text, &["the AWS profile sso", "gave no credentials", "sso/cache"]);
    let token = |token: &str| {
        let (start, expires) = ("https://seglift.example/start", in_seconds(3600));
        format!(
            r#"{{"accessToken":"{token}","expiresAt":"{expires}","region":"us-east-1","startUrl":"{start}"}}"#
        )
    };
    machine.write(cached, &token("sso-token"));
    machine.lists_as("ASIASSO", &variables, &["s3.profile=sso"]);
    let asked = portal.seen()[0].target.clone();
    holds(&asked, &["role_name=Tier", "account_id=123456789012"]);
    // One that the portal takes no more.
    machine.write(cached, &token("token-of-yesterday"));
    holds(&machine.fails(&variables, &["s3.profile=sso"]), &["the AWS profile sso", "gave no credentials"]);
}

#[test]
fn a_machine_without_credentials_hears_soon_who_was_asked_and_what_to_do() {
    let machine = Machine::new();
    // Nothing listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // This one takes connections and says nothing, as a firewall may make it look.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [closed, silent.local_addr().unwrap()] {
        let started = Instant::now();
        let text = machine.fails(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &format!("http://{address}"))], &[]);
        assert!(started.elapsed() < Duration::from_secs(12), "{:?}: {text}", started.elapsed());
        holds(
            &text,
            &[
                "AWS_ACCESS_KEY_ID",
                "s3.access.key",
                "AWS profile",
                "web identity",
                "container",
                "instance metadata",
            ],
        );
    }
    assert_eq!(machine.s3.seen().len(), 0);
}

#[test]
fn requests_go_through_the_proxy_that_is_set_with_its_password() {
    let machine = Machine::new();
    let proxy = Fake::start(|_, _| listing(&["k"], None));
    let url = proxy.url().replace("http://", "http://user:pass@");
    let ran =
        machine.list_at(&KEYS, &["s3.endpoint=http://s3.nowhere.invalid:9000", &format!("s3.proxy={url}")]);
    assert!(ran.ok, "{}", ran.text);
    let asked = &proxy.seen()[0];
    assert!(asked.target.starts_with("http://s3.nowhere.invalid:9000/bucket/?"), "{}", asked.target);
    assert_eq!(asked.header("proxy-authorization"), "Basic dXNlcjpwYXNz");

    let except = [&format!("s3.proxy={url}"), "s3.no.proxy=127.0.0.1"];
    machine.lists_as("AKIAENV", &KEYS, &except);
    assert_eq!(proxy.seen().len(), 1);
}

#[test]
fn the_style_of_addresses_is_what_goes_over_the_wire() {
    let machine = Machine::new();
    // A proxy sees the whole address and looks no name up.
    let proxy = Fake::start(|_, _| listing(&["k"], None));
    let proxied = format!("s3.proxy={}", proxy.url());
    for (style, address) in [
        ("virtual", "http://bucket.s3.nowhere.invalid:9000/?"),
        ("path", "http://s3.nowhere.invalid:9000/bucket/?"),
        ("auto", "http://s3.nowhere.invalid:9000/bucket/?"),
    ] {
        let style = format!("s3.style={style}");
        let ran = machine.list_at(&KEYS, &["s3.endpoint=http://s3.nowhere.invalid:9000", &proxied, &style]);
        assert!(ran.ok, "{}", ran.text);
        let asked = proxy.seen().pop().unwrap();
        assert!(asked.target.starts_with(address), "{style}: {}", asked.target);
        assert_eq!(address.split('/').nth(2), Some(asked.header("host")));
    }
}

#[test]
fn the_environments_proxy_counts_unless_its_exceptions_or_the_settings_say_no() {
    let machine = Machine::new();
    let proxy = Fake::start(|_, _| listing(&["k"], None));
    let url = proxy.url();
    let with = |more: &[(&'static str, &'static str)]| {
        let mut variables = vec![KEYS[0], KEYS[1], ("HTTP_PROXY", url.as_str())];
        variables.extend(more);
        variables
    };
    let endpoint = "s3.endpoint=http://s3.nowhere.invalid:9000";
    assert!(machine.list_at(&with(&[]), &[endpoint]).ok);
    assert_eq!(proxy.seen().len(), 1);
    machine.lists_as("AKIAENV", &with(&[("NO_PROXY", "127.0.0.1")]), &[]);
    machine.lists_as("AKIAENV", &with(&[]), &["s3.proxy=none"]);
    assert_eq!(proxy.seen().len(), 1);
}

#[test]
fn certificates_that_cannot_be_used_are_an_error_before_any_request() {
    let machine = Machine::new();
    let empty = machine.write("empty.pem", "");
    let (file, dir) = (empty.to_str().unwrap(), machine.home.path().join("nosuch"));
    let bare = [KEYS[0], KEYS[1], ("SSL_CERT_FILE", file), ("SSL_CERT_DIR", dir.to_str().unwrap())];
    let https = "s3.endpoint=https://127.0.0.1:1";
    let ran = machine.list_at(&bare, &[https]);
    assert!(!ran.ok);
    holds(&ran.text, &["no certificates to trust", "ca-certificates", "s3.ca.file"]);
    let ran = machine.list_at(&KEYS, &[https, &format!("s3.ca.file={file}")]);
    assert!(!ran.ok);
    holds(&ran.text, &[file, "BEGIN CERTIFICATE"]);
    machine.lists_as("AKIAENV", &bare, &[]);
}
