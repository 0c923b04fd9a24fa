//! What all drivers of a process share: threads, operations, completion queues, the memory budget.
//!
//! Purpose: a broker may open hundreds of drivers; there is one set of threads and one budget for all.
//!
//! Invariants: every accepted operation ends once, has a deadline, and can be asked what it is doing
//! ([`op`]); its result is delivered once, after lent buffers were given back ([`run`], [`queue`]); memory is
//! reserved before it is used, and that cannot deadlock ([`budget`]); nothing works in a forked child that
//! was made before the fork ([`fork`]).
//!
//! Trade-off: an operation keeps its engine alive until it has ended. So dropping the last handle never
//! waits and never tears a running operation down; a host that wants to wait closes its driver.

mod bell;
pub mod budget;
mod call;
pub mod fork;
mod op;
mod patience;
mod queue;
mod registry;
mod run;
mod scope;
mod signals;
mod status;

pub use crate::metrics::Op as OpKind;
pub use budget::{Budget, Class, Reclaim, Reservation};
pub use call::{Call, CallFlags, Cancel};
pub use op::{Defaults, Op, Progress};
pub use patience::Patience;
pub use queue::{Completion, Event, MAX_CAPACITY, Notifier, Queue, Slot};
pub use run::panic_message;
pub use scope::Scope;

use crate::buf::Pool;
use crate::clock::SystemClock;
use crate::config::{Config, Settings, default_threads};
use crate::error::{Code, Error, Result};
use crate::logging::{Level, Logger};
use crate::metrics::{CacheKind, Metrics};
use crate::status::socket::StatusSocket;
use fork::PerProcess;
use parking_lot::Mutex;
use registry::Registry;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::runtime::{Builder, Handle, Runtime};

/// What an engine is made of.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Threads that run operations, 1 to 64.
    pub threads: usize,
    /// Most threads for what blocks (files), 1 to 512. They exist only while there is work for them.
    pub blocking_threads: usize,
    /// The memory budget in bytes, at least 16 MiB.
    pub memory_budget: u64,
    /// Most bytes that may be lent to the host at once.
    pub lent_limit: u64,
    /// Bytes for blocks in memory; 0 is off.
    pub cache_size: u64,
    /// The least severe log lines that are kept; `None` keeps none.
    pub log_level: Option<Level>,
    /// Where to make the socket that tells other processes of the owner the status; `None` makes none.
    pub status_socket: Option<PathBuf>,
}

impl Default for EngineOptions {
    /// The defaults of the settings.
    fn default() -> Self {
        EngineOptions {
            threads: default_threads(),
            blocking_threads: 16,
            memory_budget: 128 << 20,
            lent_limit: 64 << 20,
            cache_size: 48 << 20,
            log_level: Some(Level::Info),
            status_socket: None,
        }
    }
}

impl From<&Settings> for EngineOptions {
    fn from(settings: &Settings) -> Self {
        EngineOptions {
            threads: settings.engine_threads,
            memory_budget: settings.memory_budget as u64,
            lent_limit: settings.memory_lent_limit as u64,
            cache_size: settings.cache_memory_size as u64,
            log_level: settings.log_level,
            status_socket: (!settings.status_socket.is_empty())
                .then(|| settings.status_socket.clone().into()),
            ..EngineOptions::default()
        }
    }
}

struct Inner {
    generation: u64,
    options: EngineOptions,
    started: Instant,
    /// `Some` until the end: dropping a runtime needs care.
    runtime: Option<Runtime>,
    registry: Registry,
    metrics: Arc<Metrics>,
    log: Logger,
    budget: Budget,
    pool: Pool,
    extensions: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    stores: status::Stores,
    socket: Mutex<Option<StatusSocket>>,
}

/// Threads, budget, registry. Clones are the same engine; any thread may use it. It ends when the last handle
/// is gone and the last operation has ended.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

impl Engine {
    /// An engine of its own.
    ///
    /// # Errors
    /// `INVALID_CONFIG` if an option is out of its range or the status socket cannot be where it should,
    /// `RESOURCE_EXHAUSTED` if there are no threads, `BUSY` if the socket's folder is locked.
    pub fn new(options: EngineOptions) -> Result<Engine> {
        check(&options)?;
        let generation = fork::generation();
        let metrics = Arc::new(Metrics::new());
        let budget = Budget::new(options.memory_budget, options.lent_limit, metrics.clone())?;
        let log = Logger::new(options.log_level, Arc::new(SystemClock::new()), metrics.clone());
        let runtime = start(&options)?;
        // 1/32 of the budget may lie around as recycled pieces: 4 MiB of 128, a part's worth of reading.
        let idle = (options.memory_budget / 32 / crate::buf::PIECE as u64).clamp(2, 64) as usize;
        let engine = Engine(Arc::new(Inner {
            generation,
            started: Instant::now(),
            runtime: Some(runtime),
            registry: Registry::new(),
            metrics,
            log,
            budget,
            pool: Pool::new(idle),
            extensions: Mutex::default(),
            stores: status::Stores::default(),
            socket: Mutex::default(),
            options,
        }));
        engine.open_socket()?;
        Ok(engine)
    }

    /// An engine with the settings of scope `engine`.
    ///
    /// # Errors
    /// As [`new`](Engine::new), and `INVALID_CONFIG`.
    pub fn open(config: &Config) -> Result<Engine> {
        Engine::new((&config.settings()?).into())
    }

    /// The engine that all drivers share unless told otherwise: made with the settings of the environment
    /// when it is first asked for, and again in a forked child, which leaves the status socket to its parent; it
    /// lives as long as the process.
    ///
    /// # Errors
    /// As [`open`](Engine::open).
    pub fn default_engine() -> Result<Engine> {
        Engine::default_engine_with(|| {
            let mut config = Config::new();
            // What is not UTF-8 is none of our settings.
            let text = |(k, v): (OsString, OsString)| Some((k.into_string().ok()?, v.into_string().ok()?));
            config.load_env(std::env::vars_os().filter_map(text))?;
            let options = EngineOptions::from(&config.settings()?);
            // What the environment says of the one socket was meant for the first of the family.
            let status_socket = options.status_socket.filter(|_| !fork::is_child());
            Ok(EngineOptions { status_socket, ..options })
        })
    }

    /// As [`default_engine`](Engine::default_engine); `options` are asked for if it must be made.
    ///
    /// # Errors
    /// As [`new`](Engine::new), and those of `options`.
    pub fn default_engine_with(options: impl FnOnce() -> Result<EngineOptions>) -> Result<Engine> {
        static DEFAULT: PerProcess<Mutex<Option<Engine>>> = PerProcess::new();
        let mut engine = DEFAULT.get().lock();
        match &*engine {
            Some(engine) => Ok(engine.clone()),
            None => Ok(engine.insert(Engine::new(options()?)?).clone()),
        }
    }

    /// `FORKED` in a child of the process that made the engine.
    ///
    /// # Errors
    /// That.
    pub fn check_fork(&self) -> Result<()> {
        fork::check(self.0.generation)
    }

    /// The runtime, to spawn on; see [`block_on`](Engine::block_on), [`spawn`](Engine::spawn) and
    /// [`spawn_detached`](Engine::spawn_detached) first.
    pub fn handle(&self) -> &Handle {
        match &self.0.runtime {
            Some(runtime) => runtime.handle(),
            None => unreachable!("the runtime is there until the engine is dropped"),
        }
    }

    /// The options that it was made with.
    pub fn options(&self) -> &EngineOptions {
        &self.0.options
    }

    /// The memory budget.
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// What it counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// All metrics in Prometheus' text format.
    pub fn metrics_text(&self) -> String {
        let (metrics, budget) = (&self.0.metrics, self.0.budget.stats());
        metrics.budget_limit_bytes.set(budget.limit as i64);
        metrics.budget_used_bytes.set(budget.used as i64);
        metrics.budget_waiters.set(budget.waiting as i64);
        metrics.lent_bytes.set(budget.lent as i64);
        metrics.cache_bytes.of(CacheKind::Memory).set(budget.cache as i64);
        metrics.to_prometheus()
    }

    /// What it has to say.
    pub fn log(&self) -> &Logger {
        &self.0.log
    }

    /// Recycled pieces.
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// What others keep once for each engine, by its type (the block cache): made on the first call, gone
    /// with the engine. `T` must not hold an engine. `make` must not ask for another.
    pub fn extension<T: Any + Send + Sync>(&self, make: impl FnOnce(&Engine) -> T) -> Arc<T> {
        let mut all = self.0.extensions.lock();
        let any = all.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(make(self))).clone();
        drop(all);
        match any.downcast() {
            Ok(extension) => extension,
            Err(_) => unreachable!("extensions are kept by their type"),
        }
    }

    /// Registers an operation of `kind` on `what` (a key, as a rule).
    ///
    /// # Errors
    /// `FORKED`.
    pub fn start(&self, kind: OpKind, what: &str, call: &Call, defaults: Defaults) -> Result<Op> {
        self.check_fork()?;
        let op = Op::new(self, self.0.registry.next_id(), kind, what, call, defaults);
        self.0.metrics.operation_accepted(kind);
        self.0.registry.add(&op);
        Ok(op)
    }

    /// Asks an operation to stop; true if it is running.
    pub fn cancel(&self, op: u64) -> bool {
        let found = self.0.registry.find(op);
        found.inspect(Op::cancel).is_some()
    }

    /// How far an operation is; `None` if it is over, or never was (see [`knew`](Engine::knew)).
    pub fn progress(&self, op: u64) -> Option<Progress> {
        self.0.registry.find(op).map(|op| op.snapshot())
    }

    /// Whether an operation of that number was ever started here.
    pub fn knew(&self, op: u64) -> bool {
        self.0.registry.knew(op)
    }

    /// How many operations run.
    pub fn running(&self) -> usize {
        self.0.registry.len()
    }

    fn registry(&self) -> &Registry {
        &self.0.registry
    }
}

fn check(options: &EngineOptions) -> Result<()> {
    let ranges = [
        ("engine.threads", options.threads, 1..=64),
        ("blocking threads of the engine", options.blocking_threads, 1..=512),
    ];
    for (name, value, range) in ranges {
        if !range.contains(&value) {
            return Err(Error::new(
                Code::InvalidConfig,
                format!("{name} is {value}; give {} to {}", range.start(), range.end()),
            ));
        }
    }
    Ok(())
}

fn start(options: &EngineOptions) -> Result<Runtime> {
    let number = AtomicUsize::new(0);
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(options.threads)
        .max_blocking_threads(options.blocking_threads)
        .thread_name_fn(move || format!("seglift-{}", number.fetch_add(1, Ordering::Relaxed)))
        .on_thread_start(|| {
            signals::block();
            run::mark_thread();
        })
        .enable_all();
    let _inherited = signals::Blocked::new();
    // Where the system has no thread left, building panics.
    let why = match catch_unwind(AssertUnwindSafe(|| builder.build())) {
        Ok(Ok(runtime)) => return Ok(runtime),
        Ok(Err(e)) => e.to_string(),
        Err(panic) => panic_message(&*panic).to_owned(),
    };
    Err(Error::new(
        Code::ResourceExhausted,
        format!(
            "the engine's {} threads could not be started: {why}; raise the process's limits",
            options.threads
        ),
    ))
}

impl Drop for Inner {
    fn drop(&mut self) {
        let runtime = self.runtime.take();
        if self.check_fork().is_err() {
            // Its threads exist in the parent only: to wait for them is to wait for ever.
            std::mem::forget(runtime);
            // So are the socket's clients, and its path.
            std::mem::forget(self.socket.get_mut().take());
        } else if let Some(runtime) = runtime {
            self.close_socket();
            // Waits for nobody, which also makes it right on one of its own threads, where the last
            // operation may have held the last handle.
            runtime.shutdown_background();
        }
    }
}

impl Inner {
    fn check_fork(&self) -> Result<()> {
        fork::check(self.generation)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("running", &self.running()).field("options", self.options()).finish()
    }
}
