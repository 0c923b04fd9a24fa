//! A reader over a store in memory that says what it was asked, with objects assembled by hand.

#![allow(dead_code, reason = "each test file uses its own part")]

#[path = "../format_support/mod.rs"]
pub mod format;

use format::Recipe;
use parking_lot::Mutex;
use seglift::{
    Code, Result,
    buf::LentBuf,
    engine::{Call, CallFlags, Defaults, Engine, EngineOptions, Op, OpKind},
    object::{ObjectId, Tail},
    reader::{ReadOptions, Reader, SegmentRef, Shared},
    store::{
        Body, BoxFuture, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage, MemoryStore, ObjectStore,
        Upload, UploadInfo, conformance, fault::FaultStore, fingerprint,
    },
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Remembers each get; lets gets pass only while its gate is open.
pub struct Tape {
    inner: Arc<dyn ObjectStore>,
    gets: Mutex<Vec<GetRange>>,
    gate: Semaphore,
}

/// More permits than gets of any test.
const OPEN: usize = 1 << 20;

impl Tape {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Tape> {
        Arc::new(Tape { inner, gets: Mutex::default(), gate: Semaphore::new(OPEN) })
    }

    /// What was asked since the last time.
    pub fn take(&self) -> Vec<GetRange> {
        std::mem::take(&mut self.gets.lock())
    }

    /// From now on gets wait.
    pub fn close(&self) {
        self.gate.forget_permits(OPEN);
    }

    pub fn open(&self) {
        self.gate.add_permits(OPEN);
    }

    /// Waits until `n` gets were asked since the last [`take`](Self::take).
    pub fn wait_for(&self, n: usize) {
        until(|| self.gets.lock().len() >= n);
    }
}

/// Waits for what will come, up to ten seconds.
pub fn until(mut come: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !come() {
        assert!(started.elapsed() < Duration::from_secs(10), "it did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl ObjectStore for Tape {
    fn uri(&self) -> &str {
        self.inner.uri()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn put<'a>(&'a self, key: &'a Key, info: &'a UploadInfo, body: Arc<dyn Body>) -> BoxFuture<'a, Commit> {
        self.inner.put(key, info, body)
    }

    fn begin<'a>(&'a self, key: &'a Key, info: &'a UploadInfo) -> BoxFuture<'a, Result<Box<dyn Upload>>> {
        self.inner.begin(key, info)
    }

    fn get<'a>(&'a self, key: &'a Key, range: GetRange) -> BoxFuture<'a, Result<Get>> {
        self.gets.lock().push(range.clone());
        Box::pin(async move {
            drop(self.gate.acquire().await);
            self.inner.get(key, range).await
        })
    }

    fn head<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, Result<Entry>> {
        panic!("a reader never asks for a head")
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
        self.inner.delete(keys)
    }

    fn list<'a>(&'a self, _: &'a str, _: Option<&'a str>, _: usize) -> BoxFuture<'a, Result<ListPage>> {
        panic!("a reader never lists")
    }
}

/// Sizes that make small objects behave as large ones do.
pub fn options() -> ReadOptions {
    ReadOptions { fetch_size: 64 << 10, concurrency: 4, ahead_max: 0, deadline: Duration::from_secs(10) }
}

/// One engine, one store, one reader.
pub struct World {
    pub engine: Engine,
    pub store: Arc<Tape>,
    pub shared: Arc<Shared>,
    pub reader: Arc<Reader>,
    pub options: ReadOptions,
}

/// An object that was put.
pub struct Put {
    pub tail: Tail,
    pub with_token: SegmentRef,
    pub by_key: SegmentRef,
}

impl World {
    pub fn new() -> World {
        World::with(options(), "")
    }

    /// `script` is what goes wrong in the store.
    pub fn with(options: ReadOptions, script: &str) -> World {
        let memory = Arc::new(MemoryStore::private());
        let store = Tape::new(Arc::new(FaultStore::new(memory, script.parse().unwrap())));
        World::on(engine(), store, options)
    }

    pub fn on(engine: Engine, store: Arc<Tape>, options: ReadOptions) -> World {
        let shared = Shared::of(&engine, false);
        let reader = Reader::new(&engine, shared.clone(), store.clone(), Vec::new(), options);
        World { engine, store, shared, reader, options }
    }

    pub fn store_uri(&self) -> &str {
        self.store.uri()
    }

    /// Assembles and stores an object under `key`.
    pub fn put(&self, key: &str, recipe: &Recipe) -> Put {
        let (bytes, tail) = with_fresh_id(recipe);
        self.put_bytes(key, bytes);
        let token = tail.token(fingerprint(self.store.uri())).encode().to_vec();
        let by_key = SegmentRef { key: key.to_owned(), token: None };
        Put { tail, with_token: SegmentRef { token: Some(token), ..by_key.clone() }, by_key }
    }

    pub fn put_bytes(&self, key: &str, bytes: Vec<u8>) {
        let store: Arc<dyn ObjectStore> = self.store.clone();
        conformance::block_on(conformance::put(&store, key, bytes));
    }

    pub fn op(&self, call: &Call) -> Op {
        let defaults = Defaults { deadline: Some(Duration::from_secs(20)), stall: None };
        self.engine.start(OpKind::Read, "test", call, defaults).unwrap()
    }

    /// Runs `work` with an operation of its own.
    pub fn run<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        call: &Call,
        work: impl FnOnce(Arc<Reader>, Op) -> F,
    ) -> Result<T> {
        let op = self.op(call);
        self.engine.block_on(&op, work(self.reader.clone(), op.clone()))
    }

    pub fn read_with(&self, call: &Call, r: &SegmentRef, offset: u64, len: usize) -> Result<Vec<u8>> {
        let buffer = LentBuf::owned(len).unwrap();
        let n = self.run(call, |reader, op| reader.read_range(op, r.clone(), offset, buffer.clone()))?;
        Ok(buffer.into_bytes().unwrap()[..n].to_vec())
    }

    pub fn read(&self, r: &SegmentRef, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.read_with(&Call::default(), r, offset, len)
    }

    pub fn code(&self, r: &SegmentRef, offset: u64, len: usize) -> Option<Code> {
        self.read(r, offset, len).err().map(|e| e.code())
    }
}

pub fn with_fresh_id(recipe: &Recipe) -> (Vec<u8>, Tail) {
    let (mut object, mut builder) = recipe.build_data();
    builder.id = ObjectId::random();
    let parts = builder.finish().unwrap();
    object.extend([parts.index_frame, parts.tail_frame, parts.seek_table].concat());
    (object, parts.tail)
}

pub fn flagged(set: impl FnOnce(&mut CallFlags)) -> Call {
    let mut call = Call::default();
    set(&mut call.flags);
    call
}

pub fn engine() -> Engine {
    Engine::new(EngineOptions { threads: 2, ..EngineOptions::default() }).unwrap()
}
