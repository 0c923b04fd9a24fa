//! What all commands share: settings, one engine, the drivers, the two streams, and the tally of
//! what went wrong.

use crate::{
    address::{Address, lies_in},
    args::Common,
    failure::{self, EXIT_ERROR, Failure, Tally, exit_status},
    interrupt::Interrupt,
    output::Output,
    talk::Talk,
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use seglift::{
    Code, Error, Result,
    config::{Config, Described, Scope, Source},
    driver::{Driver, Target},
    engine::{Call, Engine, EngineOptions},
    store::{self, Entry, OpenOptions},
};
use serde_json::{Value, json};
use std::{collections::HashMap, env, rc::Rc, time::Duration};

/// Keys of one page of a listing, and of one batch of deletes: what S3 takes in one request.
pub const PAGE: usize = 1000;

/// How long the drivers may take to end what is still under way when the command is over.
const CLOSE: Duration = Duration::from_secs(10);

/// The running program.
pub struct App {
    /// The settings in force.
    pub config: Config,
    /// Results.
    pub out: Output,
    /// Everything else.
    pub talk: Rc<Talk>,
    /// Ctrl-C.
    pub interrupt: Interrupt,
    engine: Option<Engine>,
    drivers: HashMap<String, Driver>,
    tally: Tally,
}

impl App {
    /// Takes over the streams and the signals.
    pub fn new(common: &Common) -> Result<Self, Failure> {
        let interrupt =
            Interrupt::install().map_err(|error| failure::local("taking over signals", &error))?;
        Ok(App {
            config: Config::new(),
            out: Output::new(common.json)?,
            talk: Rc::new(Talk::new(common.quiet)),
            interrupt,
            engine: None,
            drivers: HashMap::new(),
            tally: Tally::default(),
        })
    }

    /// Gathers the settings: the environment, then files, then the command line.
    pub fn configure(&mut self, common: &Common) -> Result<(), Failure> {
        self.config.load_env(env::vars_os())?;
        for file in &common.config_files {
            self.config.load(file)?;
        }
        for (key, value) in &common.settings {
            self.config.set(key, value)?;
        }
        Ok(())
    }

    /// A driver to write to `store`, whose directory is created if it is missing.
    pub fn writing_driver(&mut self, store: &str) -> Result<Driver> {
        self.open(store)
    }

    /// A driver to read from `store`, or remove from it. It must exist: a mistyped name must not leave
    /// an empty directory behind.
    pub fn driver(&mut self, store: &str) -> Result<Driver> {
        if !self.drivers.contains_key(store) {
            let target = self.target(store)?;
            store::open(&target.uri, &OpenOptions { create: false, ..target.options })?;
        }
        self.open(store)
    }

    fn open(&mut self, store: &str) -> Result<Driver> {
        if let Some(driver) = self.drivers.get(store) {
            return Ok(driver.clone());
        }
        let engine = self.engine()?;
        let driver = Driver::open(&engine, store, &self.config)?;
        self.drivers.insert(store.to_string(), driver.clone());
        Ok(driver)
    }

    /// The engine, made by the first who needs one.
    pub fn engine(&mut self) -> Result<Engine> {
        Ok(match &self.engine {
            Some(engine) => engine.clone(),
            None => self.engine.insert(Engine::new(engine_options(&self.config)?)?).clone(),
        })
    }

    /// What `store` and the settings mean together, for opening it without a driver.
    pub fn target(&mut self, store: &str) -> Result<Target<'_>> {
        let engine = self.engine()?;
        Target::new(&engine, store, &self.config)
    }

    /// Counts a failure that was reported already.
    pub fn count(&mut self, code: Code) {
        self.tally.add(exit_status(code));
    }

    /// A call that Ctrl-C cancels.
    pub fn call(&self) -> Call {
        Call { cancel: Some(self.interrupt.cancel().clone()), ..Call::default() }
    }

    /// The deadline of an operation that moves `bytes`: `None`, the setting `key`, if somebody gave it;
    /// else its default and a second for each MiB, so that size alone fails nothing. Whether bytes move
    /// at all is what the stall limit watches.
    pub fn deadline(&self, key: &str, bytes: u64) -> Result<Option<Duration>> {
        if self.config.given(Scope::Driver).any(|given| given == key) {
            return Ok(None);
        }
        let settings = self.config.settings()?;
        let base =
            if key == "deadline.offload" { settings.deadline_offload } else { settings.deadline_other };
        Ok(Some(base + Duration::from_secs(bytes >> 20)))
    }

    /// Reports a failure and counts it; `about` is what its JSON object says beside the error. Fails
    /// if the command cannot go on: standard output is gone, or the user interrupted.
    pub fn failed(&mut self, about: Value, error: &Error) -> Result<(), Failure> {
        // What an interrupt cut short is not the object's fault.
        if let Some(status) = self.interrupt.status() {
            self.tally.add(status);
            return Err(Failure::Error(error.clone()));
        }
        // Deep down an object is known by its UUID, which tells the user nothing.
        let error = match about["key"].as_str() {
            Some(key) if !error.message().contains(key) => error.clone().context(key),
            _ => error.clone(),
        };
        self.tally.add(exit_status(error.code()));
        self.talk.error(&error);
        if self.out.json {
            let object = joined(about, json!({"error": failure::to_json(&error)}));
            let out = &mut self.out;
            self.talk.aside(|| out.result(|| object, String::new))?;
        }
        Ok(())
    }

    /// Calls `each` with what the addresses name, at most [`PAGE`] objects of one store at a time: the
    /// addresses themselves or, if they are folders, everything in them. A folder that holds nothing
    /// is `NOT_FOUND`. Returns how many objects there were.
    pub fn batches(
        &mut self,
        addresses: &[Address],
        folders: bool,
        mut each: impl FnMut(&mut App, &Driver, &[Address]) -> Result<(), Failure>,
    ) -> Result<usize, Failure> {
        let mut count = 0;
        for run in addresses.chunk_by(|a, b| a.store == b.store) {
            let driver = self.driver(&run[0].store)?;
            if !folders {
                for batch in run.chunks(PAGE) {
                    count += batch.len();
                    each(self, &driver, batch)?;
                }
                continue;
            }
            for folder in run {
                let before = count;
                let call = self.call();
                pages(&driver, &folder.key, &call, |page| {
                    let inside = page.iter().filter(|entry| lies_in(entry.key.as_str(), &folder.key));
                    let batch: Vec<_> = inside
                        .map(|entry| Address { store: folder.store.clone(), key: entry.key.to_string() })
                        .collect();
                    count += batch.len();
                    if batch.is_empty() { Ok(()) } else { each(self, &driver, &batch) }
                })?;
                if count == before {
                    let message =
                        format!("there is nothing in the folder \"{}\" of {}", folder.key, folder.store);
                    self.failed(located(folder), &Error::new(Code::NotFound, message))?;
                }
            }
        }
        Ok(count)
    }

    /// Writes what is still buffered, closes the drivers, and returns the exit status.
    pub fn close(&mut self) -> u8 {
        match self.out.flush() {
            Ok(()) => {}
            Err(Failure::Pipe) => self.tally.add(failure::EXIT_PIPE),
            Err(Failure::Error(error)) => {
                self.talk.error(&error);
                self.tally.add(EXIT_ERROR);
            }
        }
        for driver in self.drivers.values() {
            // Nothing that was confirmed depends on it.
            let _ = driver.close(CLOSE);
        }
        if let Some(engine) = &self.engine {
            engine.close_status_socket();
        }
        self.tally.status()
    }
}

fn engine_options(config: &Config) -> Result<EngineOptions> {
    let settings = config.settings()?;
    // Elsewhere it is the broker's, whose settings this command shares to look at its store.
    let is_ours =
        |setting: &Described| setting.key == "status.socket" && matches!(setting.source, Source::Set { .. });
    let with = EngineOptions::from(&settings);
    Ok(EngineOptions {
        status_socket: with.status_socket.filter(|_| config.describe().iter().any(is_ours)),
        threads: settings.engine_threads,
        memory_budget: settings.memory_budget as u64,
        lent_limit: settings.memory_lent_limit as u64,
        cache_size: settings.cache_memory_size as u64,
        ..EngineOptions::default()
    })
}

/// Calls `each` with the objects whose keys begin with `prefix`, in byte order, page by page.
pub fn pages(
    driver: &Driver,
    prefix: &str,
    call: &Call,
    mut each: impl FnMut(&[Entry]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after: Option<String> = None;
    loop {
        let page = driver.list(prefix, after.as_deref(), PAGE, call)?;
        each(&page.entries)?;
        match page.entries.last() {
            Some(last) if page.more => after = Some(last.key.to_string()),
            _ => return Ok(()),
        }
    }
}

/// `n` and what they are, in the singular where it is one.
pub fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `µs` since 1970 as text in UTC.
pub fn time(us: i64) -> String {
    let since = Duration::from_micros(us.unsigned_abs());
    let at = if us < 0 {
        std::time::UNIX_EPOCH.checked_sub(since)
    } else {
        std::time::UNIX_EPOCH.checked_add(since)
    };
    match at {
        // humantime formats the years 1970 to 9999.
        Some(at) if (0..253_402_300_800_000_000).contains(&us) => {
            humantime::format_rfc3339_seconds(at).to_string()
        }
        _ => format!("{us} µs"),
    }
}

/// Members of `object` and of `more` in one object.
pub fn joined(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

/// A digest as JSON and people see it: numbers of 64 bits do not survive every JSON parser.
pub fn digest(crc64nvme: u64) -> String {
    format!("{crc64nvme:016x}")
}

/// The location of an object, as a member of every result about one.
pub fn located(address: &Address) -> Value {
    json!({"store": address.store, "key": address.key})
}

/// Other people's bytes as a member: `name` if they are text, `base64` if not.
pub fn blob(name: &str, bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({name: text}),
        Err(_) => json!({"base64": BASE64_STANDARD.encode(bytes)}),
    }
}
