//! What a driver opens: a URI and settings, read together.

use crate::{
    config::{self, Config, Settings},
    engine::{Engine, EngineOptions},
    error::{Code, Error, Result},
    store::{OpenOptions, s3},
};
use std::{borrow::Cow, sync::Arc};

/// What a URI and settings mean together: the store that a driver would open.
pub struct Target<'a> {
    /// The URI, completed from the settings where it names no bucket.
    pub uri: String,
    /// The configuration, with what AWS's own tools take from the environment.
    pub config: Cow<'a, Config>,
    /// Its settings.
    pub settings: Arc<Settings>,
    /// How the store is to be opened.
    pub options: OpenOptions,
}

impl<'a> Target<'a> {
    /// Reads the environment and asks nobody.
    ///
    /// # Errors
    /// `INVALID_CONFIG` where settings, or settings and URI, contradict each other.
    pub fn new(engine: &Engine, uri: &str, config: &'a Config) -> Result<Target<'a>> {
        let mut config = Cow::Borrowed(config);
        let mut settings = config.settings()?;
        if std::iter::once(uri).chain(settings.store_previous.iter().map(String::as_str)).any(is_s3) {
            // What AWS's own tools take from the environment holds for a host that loads none, too.
            config = Cow::Owned(config.with_others_environment(std::env::vars_os())?);
            settings = config.settings()?;
        }
        let settings = Arc::new(settings);
        let uri = s3::complete_uri(uri, &settings)?.unwrap_or_else(|| uri.to_owned());
        check_scheme(&uri, &settings)?;
        let region_given = config.given(config::Scope::Driver).any(|key| key == "s3.region");
        let options = OpenOptions {
            fsync: settings.file_fsync,
            s3: s3::Env {
                options: s3::S3Options::new(&settings, region_given),
                http: engine.extension(|_| s3::HttpClients::default()),
                engine: Some(engine.clone()),
            },
            ..OpenOptions::default()
        };
        Ok(Target { uri, config, settings, options })
    }
}

fn is_s3(uri: &str) -> bool {
    uri.is_empty() || uri.split(':').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("s3"))
}

/// `store.driver` (Pulsar's `managedLedgerOffloadDriver`) may say what the URI must be.
fn check_scheme(uri: &str, settings: &Settings) -> Result<()> {
    let scheme = uri.split(':').next().unwrap_or_default();
    match settings.store_driver.scheme() {
        Some(wanted) if !scheme.eq_ignore_ascii_case(wanted) => Err(Error::new(
            Code::InvalidConfig,
            format!(
                "setting store.driver asks for a {wanted}: URI and the store is named by a {scheme}: URI; change one of \
                 them, or leave store.driver out"
            ),
        )),
        _ => Ok(()),
    }
}

/// An engine that runs takes no new settings: says which of a driver's would have been another.
pub(super) fn warn_of_lost_settings(engine: &Engine, config: &Config, settings: &Settings) {
    let runs = engine.options();
    let same = |key: &str| match key {
        "engine.threads" => settings.engine_threads == runs.threads,
        "memory.budget" => settings.memory_budget as u64 == runs.memory_budget,
        "memory.lent.limit" => settings.memory_lent_limit as u64 == runs.lent_limit,
        "cache.memory.size" => settings.cache_memory_size as u64 == runs.cache_size,
        "status.socket" => EngineOptions::from(settings).status_socket == runs.status_socket,
        _ => true,
    };
    for key in config.given(config::Scope::Engine).filter(|key| !same(key)) {
        let message =
            "a setting has no effect: the engine runs already with another value; open an engine of its own";
        engine.log().warn("driver", message, &[("setting", &key)]);
    }
}
