//! A store that tries again is an honest store, and sends again no more than it must.

use futures_util::FutureExt;
use seglift::{
    Code, Error, Result,
    config::Config,
    engine::{Engine, EngineOptions},
    store::{
        Body, BoxFuture, Capabilities, Commit, Entry, Get, GetRange, Key, ListPage, MemoryStore, ObjectStore,
        RetryStore, Upload, UploadInfo, conformance::*,
    },
};
use std::sync::{Arc, Mutex};

fn engine() -> Engine {
    Engine::new(EngineOptions { threads: 1, ..EngineOptions::default() }).unwrap()
}

fn retrying(inner: Arc<dyn ObjectStore>, settings: &[(&str, &str)]) -> Arc<dyn ObjectStore> {
    let mut config = Config::new();
    let usual = [("retry.pause.first", "1ms"), ("retry.pause.max", "5ms")];
    for (key, value) in usual.iter().chain(settings) {
        config.set(key, value).unwrap();
    }
    RetryStore::new(inner, &engine(), &config.settings().unwrap())
}

fn place() -> Place {
    Place { store: retrying(Arc::new(MemoryStore::private()), &[]), rubbish: Box::new(Vec::new) }
}

seglift::store_conformance!(place);

/// What a store answers to each key of a delete, attempt by attempt, and what it was asked.
struct Picky {
    inner: MemoryStore,
    answers: Mutex<Vec<Vec<Result<()>>>>,
    asked: Mutex<Vec<Vec<String>>>,
}

impl ObjectStore for Picky {
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
        self.inner.get(key, range)
    }

    fn head<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Entry>> {
        self.inner.head(key)
    }

    fn delete<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Vec<Result<()>>> {
        self.asked.lock().unwrap().push(keys.iter().map(Key::to_string).collect());
        let answers = self.answers.lock().unwrap().remove(0);
        async move { answers }.boxed()
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        max: usize,
    ) -> BoxFuture<'a, Result<ListPage>> {
        self.inner.list(prefix, after, max)
    }
}

fn picky(answers: Vec<Vec<Result<()>>>) -> Arc<Picky> {
    Arc::new(Picky { inner: MemoryStore::private(), answers: Mutex::new(answers), asked: Mutex::default() })
}

fn failed(code: Code) -> Result<()> {
    Err(Error::new(code, "on purpose"))
}

fn keys(names: &[&str]) -> Vec<Key> {
    names.iter().map(|name| Key::new(name).unwrap()).collect()
}

#[test]
fn of_a_batch_only_the_keys_that_may_yet_succeed_are_deleted_again() {
    let store = picky(vec![
        vec![Ok(()), failed(Code::PermissionDenied), failed(Code::Throttled), failed(Code::Unavailable)],
        vec![failed(Code::Unavailable), Ok(())],
        vec![Ok(())],
    ]);
    let results = block_on(async { retrying(store.clone(), &[]).delete(&keys(&["a", "b", "c", "d"])).await });
    let codes: Vec<_> = results.iter().map(|result| result.as_ref().err().map(Error::code)).collect();
    assert_eq!(codes, [None, Some(Code::PermissionDenied), None, None]);
    assert_eq!(*store.asked.lock().unwrap(), [vec!["a", "b", "c", "d"], vec!["c", "d"], vec!["c"]]);
}

#[test]
fn a_batch_whose_tries_end_keeps_an_answer_for_each_key() {
    let store = picky(vec![
        vec![failed(Code::Throttled), Ok(()), failed(Code::Unavailable)],
        vec![failed(Code::Throttled), failed(Code::NoSpace)],
    ]);
    let retried = retrying(store.clone(), &[("retry.attempts", "2")]);
    let results = block_on(async { retried.delete(&keys(&["a", "b", "c"])).await });
    let codes: Vec<_> = results.iter().map(|result| result.as_ref().err().map(Error::code)).collect();
    assert_eq!(codes, [Some(Code::Throttled), None, Some(Code::NoSpace)]);
    let message = results[0].as_ref().unwrap_err().to_string();
    assert!(message.starts_with("tried 2 times in "), "{message}");
}

#[test]
fn the_wait_that_a_store_asks_for_is_kept_and_ends_the_tries_where_there_is_no_time_for_it() {
    let ask = |ms| {
        Err(Error::new(Code::Throttled, "slow down").with_retry_after(std::time::Duration::from_millis(ms)))
    };
    let store = picky(vec![vec![ask(150)], vec![Ok(())]]);
    let started = std::time::Instant::now();
    block_on(async { retrying(store, &[]).delete(&keys(&["a"])).await.remove(0) }).unwrap();
    assert!(started.elapsed().as_millis() >= 150, "{:?}", started.elapsed());

    let store = picky(vec![vec![ask(150_000)]]);
    let error = block_on(async { retrying(store, &[]).delete(&keys(&["a"])).await.remove(0) }).unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::Throttled, "slow down"));
}

#[test]
fn credentials_that_ran_out_are_asked_for_once_more_and_only_if_that_can_help() {
    let expired = |retryable| Err(Error::new(Code::Unauthenticated, "expired").with_retryable(retryable));
    let store = picky(vec![vec![expired(true)], vec![expired(true)]]);
    let error =
        block_on(async { retrying(store.clone(), &[]).delete(&keys(&["a"])).await.remove(0) }).unwrap_err();
    assert_eq!((error.code(), store.asked.lock().unwrap().len()), (Code::Unauthenticated, 2));
    let store = picky(vec![vec![expired(false)]]);
    block_on(async { retrying(store.clone(), &[]).delete(&keys(&["a"])).await.remove(0) }).unwrap_err();
    assert_eq!(store.asked.lock().unwrap().len(), 1);
}
