//! What to look at before a broker trusts a bucket.
//!
//! The order is that of a request: can the service be reached, is it itself, does it take the credentials, does it
//! have the bucket; then everything that a driver does with it. The first thing that is wrong ends what depends on
//! it: ten red lines with one cause help nobody.
//!
//! Invariant: nothing stays in the bucket. Before anything is made the permission to remove it is tried out, by
//! removing what is not there; where it is missing nothing is made. What is made is known to [`Exam`] before the
//! request goes out, and [`Exam::clean`] removes it by its version, so that no hidden version and no delete marker
//! stays in a bucket that keeps them.
//!
//! Trade-off: an examination for reading changes nothing, and so proves less.

mod answer;
mod lifecycle;
mod network;
mod writes;

use super::{S3Store, errors::Action, exchange::Exchange};
use crate::{
    error::{Code, Error, Result},
    store::{
        Key, Upload,
        doctor::{Access, Finding, PROBE, Probe, Question, Report, State, Stop, objects, until},
    },
};
use answer::Answer;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

/// Every check, in the order in which they are reported.
const CHECKS: [&str; 15] = [
    "endpoint",
    "tls",
    "credentials",
    "clock",
    "bucket",
    "write",
    "read",
    "conditional-create",
    "checksums",
    "trailers",
    "multipart",
    "encryption",
    "list",
    "delete",
    "lifecycle",
];

/// An object has so many versions at most that we made: one for each try to create it, and one to be sure.
const VERSIONS: usize = 4;

impl S3Store {
    /// Examines this store; see [`examine`](crate::store::doctor::examine).
    pub(in crate::store) async fn examine(
        &self,
        question: &Question,
        stop: &mut Stop<'_>,
        report: &mut Report<'_>,
    ) -> Result<()> {
        let exam = Exam::new(self)?;
        let mut sheet = Sheet { report, done: Vec::new() };
        let ended = until(stop, &exam.probe, async {
            let why = exam.run(question, &mut sheet).await;
            sheet.rest(&why);
        })
        .await;
        exam.clean(sheet.report).await;
        ended
    }
}

/// The report, and which checks are in it.
struct Sheet<'a, 'r> {
    report: &'a mut Report<'r>,
    done: Vec<&'static str>,
}

impl Sheet<'_, '_> {
    fn put(&mut self, finding: Finding) {
        self.done.push(finding.check);
        (self.report)(finding);
    }

    /// Says of all checks that are not in the report why they are not.
    fn rest(&mut self, why: &str) {
        for check in CHECKS {
            if !self.done.contains(&check) {
                self.put(Finding::skipped(check, format!("not checked, because {why}")));
            }
        }
    }
}

/// An examination of one store, and what it has made there.
struct Exam<'a> {
    store: &'a S3Store,
    probe: Probe<'a>,
    /// An object whose checksum is wrong, which no store should keep.
    wrong: Key,
    wrong_made: AtomicBool,
    upload: Mutex<Option<Arc<dyn Upload>>>,
    /// The bucket was seen to keep versions.
    versioned: AtomicBool,
    /// Something was hidden that could not be removed.
    hidden: AtomicBool,
}

impl<'a> Exam<'a> {
    fn new(store: &'a S3Store) -> Result<Self> {
        Ok(Exam {
            store,
            probe: Probe::new(store),
            wrong: Probe::new(store).key,
            wrong_made: AtomicBool::new(false),
            upload: Mutex::default(),
            versioned: AtomicBool::new(false),
            hidden: AtomicBool::new(false),
        })
    }

    /// Runs the checks that make sense; the answer is why the others do not.
    async fn run(&self, question: &Question, sheet: &mut Sheet<'_, '_>) -> String {
        let answer = match self.reach(sheet).await {
            Ok(answer) => answer,
            Err(why) => return why,
        };
        if question.access == Access::Read {
            objects::list_and_read(self.store, question, &mut |finding| sheet.put(finding)).await;
            return "reading does not need it".into();
        }
        if let Err(why) = self.writes(question.access, sheet).await {
            return why;
        }
        sheet.put(self.lifecycle(question.access, &answer).await);
        "nobody asked".into()
    }

    /// From the name server to the bucket. The error is why nothing else can be checked.
    async fn reach(&self, sheet: &mut Sheet<'_, '_>) -> Result<Answer, String> {
        let connection = &self.store.connection;
        // Reads certificates and the AWS profile, which may know the region and so the endpoint.
        let region = match connection.client().await {
            Ok(client) => client.config().region().map(|region| region.as_ref()).unwrap_or_default(),
            Err(error) => {
                sheet.put(Finding::fail("tls", &error));
                return Err("the certificates to trust cannot be read".into());
            }
        };
        let network = network::look(connection.endpoint(), connection.options()).await;
        if let Some((finding, why)) = network.failure() {
            if finding.check != "endpoint" {
                sheet.put(network.endpoint(None));
            }
            sheet.put(finding);
            return Err(why.into());
        }
        let provided = match connection.provider().await {
            Ok(provided) => provided,
            Err(error) => {
                sheet.put(network.endpoint(None));
                sheet.put(network.tls());
                sheet.put(Finding::fail("credentials", &error));
                return Err("there are no credentials".into());
            }
        };
        let answer = Answer::ask(self.store, &self.probe.key).await;
        let wrong = answer.wrong();
        match (wrong, &answer.error) {
            (Some("endpoint"), Some(error)) => {
                sheet.put(Finding::fail("endpoint", error));
                return Err("the endpoint does not answer as S3 does".into());
            }
            _ => sheet.put(network.endpoint(Some(&answer))),
        }
        sheet.put(network.tls());
        sheet.put(answer.credentials(provided.as_ref()));
        let clock = answer.clock();
        let wrong = if clock.state == State::Fail { Some("clock") } else { wrong };
        sheet.put(clock);
        match wrong {
            None => sheet.put(answer.bucket(region)),
            Some("credentials") => return Err("the store does not take the credentials".into()),
            Some("clock") => return Err("the clock is wrong".into()),
            Some(_) => {
                sheet.put(answer.bucket(region));
                return Err("the bucket cannot be used".into());
            }
        }
        Ok(answer)
    }

    /// Removes all that was made.
    async fn clean(&self, report: &mut Report<'_>) {
        let upload = self.upload.lock().take();
        if let Some(upload) = upload
            && let Err(error) = upload.abort().await
        {
            let left =
                format!("abort the upload of {} by hand, or wait for the lifecycle rule", self.probe.key);
            report(Finding::fail("cleanup", &error).remedy(left));
        }
        let keys = [(&self.probe.key, self.probe.is_made()), (&self.wrong, self.wrong_made.load(SeqCst))];
        for (key, _) in keys.iter().filter(|(_, made)| *made) {
            if let Err(error) = self.remove(key).await {
                let left = format!("remove {} from the bucket by hand", self.store.place.object_key(key));
                report(Finding::fail("cleanup", &error).remedy(left));
            }
        }
        if self.hidden.load(SeqCst) {
            let name = self.store.place.with_prefix(PROBE);
            let what = format!("the bucket keeps versions, and hidden ones of {name}* could not be removed");
            let remedy =
                format!("allow s3:DeleteObjectVersion for {name}* only, as seglift doctor --policy does");
            report(Finding::warn("cleanup", what, remedy));
        }
    }

    /// Removes every version of an object of ours. What is not there is success.
    async fn remove(&self, key: &Key) -> Result<()> {
        for round in 0..VERSIONS {
            let version = match self.look(key).await {
                Ok(seen) => seen.version,
                Err(error) if error.code() == Code::NotFound => break,
                // A store that hides what is missing says so of what was just removed, too.
                Err(error) if error.code() == Code::NotFoundOrDenied && round > 0 => break,
                Err(error) if error.code() == Code::NotFoundOrDenied => None,
                Err(error) => return Err(error),
            };
            match self.store.remove(key, version.as_deref()).await {
                Ok(()) if version.is_some() => {}
                Ok(()) => break,
                // The version may not be removed; then it is at least hidden.
                Err(error) if version.is_some() && error.code() == Code::PermissionDenied => {
                    self.store.remove(key, None).await?;
                    self.hidden.store(true, SeqCst);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        match key == &self.probe.key {
            true => self.probe.forget(),
            false => self.wrong_made.store(false, SeqCst),
        }
        Ok(())
    }

    /// Whether the credentials may remove a probe, asked with one that is not there.
    async fn may_remove(&self) -> Result<bool> {
        let (store, key, exchange) = (self.store, &self.probe.key, Exchange::new(false));
        let request = store.connection.client().await?.delete_object();
        let request = request.bucket(&store.place.bucket).key(store.place.object_key(key));
        let request = request.customize().interceptor(exchange.clone());
        let marker = match store.answer(Action::Delete, Some(key), &exchange, request.send()).await {
            Ok(deleted) => deleted.version_id().filter(|version| *version != "null").map(str::to_owned),
            Err(error) if error.code() == Code::PermissionDenied => return Ok(false),
            Err(error) => return Err(error),
        };
        // A bucket that keeps versions has now noted that what was never there is deleted.
        if let Some(marker) = marker {
            self.versioned.store(true, SeqCst);
            if store.remove(key, Some(&marker)).await.is_err() {
                self.hidden.store(true, SeqCst);
            }
        }
        Ok(true)
    }
}

/// The error of a check that found a state which nobody refused.
fn state(code: Code, what: impl Into<String>) -> Error {
    Error::new(code, what)
}
