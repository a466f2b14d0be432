//! Joins the tasks of a session and says what failed. The end of a channel never means success: a panicking stage
//! closes its channel too.

use std::collections::HashMap;

use capsule_core::{StreamName, StreamSeal};
use capsule_io::StoreError;
use capsule_report::SessionView;
use tokio::runtime::Handle;
use tokio::task::{Id, JoinError, JoinSet};

use super::Recorded;
use crate::error::chain;

/// A task that did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub stage: String,
    /// What it said.
    pub reason: String,
}

enum Done {
    Stage,
    Stream(StreamName, StreamSeal, Option<StoreError>),
    Fold(Box<SessionView>),
}

/// Owns every task of a session.
pub(super) struct Supervisor {
    tasks: JoinSet<Done>,
    runtime: Handle,
    names: HashMap<Id, String>,
}

impl Supervisor {
    /// A supervisor of tasks that run on `runtime`.
    pub(super) fn new(runtime: Handle) -> Self {
        Self { tasks: JoinSet::new(), runtime, names: HashMap::new() }
    }

    pub(super) fn stage(&mut self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn(name.to_owned(), async move {
            task.await;
            Done::Stage
        });
    }

    pub(super) fn record(
        &mut self,
        stream: StreamName,
        task: impl Future<Output = (StreamSeal, Option<StoreError>)> + Send + 'static,
    ) {
        self.spawn(format!("recorder of {stream}"), async move {
            let (seal, error) = task.await;
            Done::Stream(stream, seal, error)
        });
    }

    pub(super) fn fold(&mut self, task: impl Future<Output = SessionView> + Send + 'static) {
        self.spawn("tree".to_owned(), async move { Done::Fold(Box::new(task.await)) });
    }

    fn spawn(&mut self, name: String, task: impl Future<Output = Done> + Send + 'static) {
        let handle = self.tasks.spawn_on(task, &self.runtime);
        self.names.insert(handle.id(), name);
    }

    /// Waits for every task, whatever becomes of the others.
    pub(super) async fn join(mut self) -> Recorded {
        let mut recorded = Recorded { seals: Vec::new(), view: None, failure: None };
        while let Some(joined) = self.tasks.join_next_with_id().await {
            let failure = match joined {
                Ok((_, Done::Stage)) => None,
                Ok((_, Done::Fold(view))) => {
                    recorded.view = Some(*view);
                    None
                }
                Ok((id, Done::Stream(stream, seal, error))) => {
                    recorded.seals.push((stream, seal));
                    error.map(|error| Failure { stage: self.name(id), reason: chain(&error) })
                }
                Err(error) => Some(Failure { stage: self.name(error.id()), reason: end(error) }),
            };
            if recorded.failure.is_none() {
                recorded.failure = failure;
            }
        }
        recorded
    }

    fn name(&self, id: Id) -> String {
        self.names.get(&id).cloned().unwrap_or_default()
    }
}

/// How a task ended that returned nothing.
fn end(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("panicked: {}", said.unwrap_or_else(|| "no message".to_owned()))
        }
        Err(_cancelled) => "was cancelled".to_owned(),
    }
}
