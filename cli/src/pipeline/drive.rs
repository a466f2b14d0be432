//! The one receive loop: feeds a stage from its subscription and passes on what it makes, until the input closes.

use capsule_core::{ActionEvent, Finding, RiskEvent, Stage};
use capsule_io::{Publisher, Subscription};

/// Where a stage's records go.
pub(super) trait Output<T>: Send {
    /// Passes a batch on; waits for those who may not miss it.
    fn emit(&mut self, batch: Vec<T>) -> impl Future<Output = ()> + Send;
}

impl<T: Send + Sync + 'static> Output<T> for Publisher<T> {
    async fn emit(&mut self, batch: Vec<T>) {
        self.send(batch).await;
    }
}

/// The classifier's two channels.
pub(super) struct Findings {
    pub(super) actions: Publisher<ActionEvent>,
    pub(super) risks: Publisher<RiskEvent>,
}

impl Output<Finding> for Findings {
    async fn emit(&mut self, batch: Vec<Finding>) {
        let (mut actions, mut risks) = (Vec::with_capacity(batch.len()), Vec::new());
        for finding in batch {
            match finding {
                Finding::Action(action) => actions.push(*action),
                Finding::Risk(risk) => risks.push(*risk),
            }
        }
        if !risks.is_empty() {
            self.risks.send(risks).await;
        }
        if !actions.is_empty() {
            self.actions.send(actions).await;
        }
    }
}

/// Drives `stage` to the end of its input. Dropping the output afterwards closes the next stage's input.
pub(super) async fn drive<I, O>(
    mut stage: Box<dyn Stage<In = I, Out = O> + Send>,
    mut input: Subscription<I>,
    mut output: impl Output<O>,
) where
    I: Send + Sync + 'static,
{
    let mut made = Vec::new();
    while let Some(batch) = input.recv().await {
        made.reserve(batch.len());
        for record in batch.iter() {
            stage.feed(record, &mut made);
        }
        // The batch is consumed: its credits go back before we wait for others.
        drop(batch);
        if !made.is_empty() {
            output.emit(std::mem::take(&mut made)).await;
        }
    }
    stage.finish(&mut made);
    if !made.is_empty() {
        output.emit(made).await;
    }
}
