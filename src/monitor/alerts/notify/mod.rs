//! Notifications of the built-in engine: one queue and one task for each configured receiver.
//!
//! Without a `[[receiver]]` nothing is sent. Each message has the form of Alertmanager's webhook, version 4, so that what
//! listens to the one can listen to the other. Queues are bounded, retries are bounded, and both are counted.

mod payload;
mod sender;
mod trial;

pub use payload::Message;
pub use sender::{RetryPolicy, SendError, Sender};
pub use trial::{ReceiverState, Trial};

use super::{Evaluation, Silences};
use crate::{
    config::ReceiverConfig,
    metrics::ProcessMetrics,
    monitor::view::{AlertState, AlertView},
};
use chrono::{DateTime, Utc};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Messages that may wait for one receiver; the next one is dropped and counted as failed.
pub const QUEUE_LENGTH: usize = 64;

/// Alerts in one message; more of them are more messages.
pub const ALERTS_PER_MESSAGE: usize = 100;

/// Hands changes of alerts to every receiver, without waiting for any.
pub struct Notifier {
    receivers: Vec<Queue>,
    metrics: ProcessMetrics,
    external_url: String,
    silences: Arc<Silences>,
    /// One test at a time.
    trials: Semaphore,
}

struct Queue {
    name: String,
    send_resolved: bool,
    messages: mpsc::Sender<Message>,
    sender: Arc<Sender>,
    last_trial: trial::Last,
}

impl Notifier {
    /// Starts one task for each receiver on `tasks`; they end with `stop`.
    ///
    /// `external_url` is where people reach the pages, for links; empty when it is not known.
    ///
    /// # Errors
    /// An HTTP client that cannot be built.
    pub fn start(
        receivers: &[ReceiverConfig],
        external_url: Option<&str>,
        metrics: &ProcessMetrics,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, SendError> {
        let mut queues = Vec::with_capacity(receivers.len());
        for receiver in receivers {
            metrics.register_receiver(&receiver.name);
            let sender = Arc::new(Sender::new(receiver.url.clone(), RetryPolicy::default())?);
            let (messages, queue) = mpsc::channel(QUEUE_LENGTH);
            tasks.spawn(deliver(receiver.name.clone(), Arc::clone(&sender), queue, metrics.clone(), stop.clone()));
            queues.push(Queue {
                name: receiver.name.clone(),
                send_resolved: receiver.send_resolved,
                messages,
                sender,
                last_trial: trial::Last::default(),
            });
        }
        let external_url = external_url.unwrap_or_default().to_owned();
        Ok(Self {
            receivers: queues,
            metrics: metrics.clone(),
            external_url,
            silences: Arc::default(),
            trials: Semaphore::new(1),
        })
    }

    /// What is silenced is shared with the pages.
    #[must_use]
    pub fn with_silences(self, silences: Arc<Silences>) -> Self {
        Self { silences, ..self }
    }

    /// Queues what began to fire and what was resolved with this evaluation, but for what is silenced; and what still fires when
    /// its silence ends.
    pub fn notify(&self, evaluation: &Evaluation, now: DateTime<Utc>) {
        let told = self.silences.to_tell(&evaluation.alerts, &evaluation.changed, now);
        for receiver in &self.receivers {
            let wanted: Vec<&AlertView> =
                told.iter().copied().filter(|alert| receiver.send_resolved || alert.state != AlertState::Resolved).collect();
            for alerts in wanted.chunks(ALERTS_PER_MESSAGE) {
                let message = Message::new(&receiver.name, &self.external_url, alerts);
                if receiver.messages.try_send(message).is_err() {
                    self.metrics.count_notification(&receiver.name, false);
                    tracing::warn!(receiver = %receiver.name, "notification dropped: the receiver's queue is full");
                }
            }
        }
    }
}

async fn deliver(
    name: String,
    sender: Arc<Sender>,
    mut queue: mpsc::Receiver<Message>,
    metrics: ProcessMetrics,
    stop: CancellationToken,
) {
    let work = async {
        while let Some(message) = queue.recv().await {
            let sent = sender.send(&message).await;
            metrics.count_notification(&name, sent.is_ok());
            if let Err(error) = sent {
                tracing::warn!(receiver = %name, %error, "notification not delivered");
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

#[cfg(test)]
mod tests;
