//! Notifications of the built-in engine: one task for each configured receiver, and what it has still to be told.
//!
//! ```text
//! evaluation --changes, without what is silenced--> outbox of each receiver --messages--> receiver
//!                                                      ^----- what failed ------'   (after a pause)
//! ```
//!
//! Without a `[[receiver]]` nothing is sent. Each message has the form of Alertmanager's webhook, version 4, so that what
//! listens to the one can listen to the other. A receiver that was away is told when it is back: of what fires then, and of
//! what ended meanwhile. Outboxes are bounded and failures are counted.

mod outbox;
mod payload;
mod sender;
mod trial;

pub use outbox::OWED_MAX;
pub use payload::Message;
pub use sender::{RetryPolicy, SendError, Sender};
pub use trial::{ReceiverState, Trial, TrialProblem};

use super::{Evaluation, Silences};
use crate::{
    config::ReceiverConfig,
    metrics::ProcessMetrics,
    monitor::view::{AlertState, AlertView},
};
use chrono::{DateTime, Utc};
use outbox::{News, Outbox};
use sender::LONGEST_PAUSE;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Alerts in one message; more of them are more messages.
pub const ALERTS_PER_MESSAGE: usize = 100;

/// Hands changes of alerts to every receiver, without waiting for any.
pub struct Notifier {
    receivers: Vec<Receiver>,
    metrics: ProcessMetrics,
    external_url: String,
    silences: Arc<Silences>,
    /// One test at a time.
    trials: Semaphore,
}

struct Receiver {
    desk: Arc<Desk>,
    /// Wakes the receiver's task; gone with the notifier, which ends it.
    wake: mpsc::Sender<()>,
}

/// What the notifier and the receiver's task share.
struct Desk {
    name: String,
    send_resolved: bool,
    external_url: String,
    outbox: Outbox,
    sender: Sender,
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
        Self::start_with(receivers, external_url, (metrics, RetryPolicy::default()), tasks, stop)
    }

    fn start_with(
        receivers: &[ReceiverConfig],
        external_url: Option<&str>,
        (metrics, policy): (&ProcessMetrics, RetryPolicy),
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, SendError> {
        let mut started = Vec::with_capacity(receivers.len());
        let external_url = external_url.unwrap_or_default().to_owned();
        for receiver in receivers {
            metrics.register_receiver(&receiver.name);
            let desk = Arc::new(Desk {
                name: receiver.name.clone(),
                send_resolved: receiver.send_resolved,
                external_url: external_url.clone(),
                outbox: Outbox::new(receiver.repeat_interval, receiver.send_resolved),
                sender: Sender::new(receiver.url.clone(), policy)?,
                last_trial: trial::Last::default(),
            });
            let (wake, woken) = mpsc::channel(1);
            let work = deliver(Arc::clone(&desk), woken, metrics.clone());
            let stop = stop.clone();
            tasks.spawn(async move { stop.run_until_cancelled(work).await });
            started.push(Receiver { desk, wake });
        }
        Ok(Self {
            receivers: started,
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

    /// Puts out what began to fire and what was resolved with this evaluation, but for what is silenced; what still fires when
    /// its silence ends; and what a receiver is to be told again.
    pub fn notify(&self, evaluation: &Evaluation, now: DateTime<Utc>) {
        let told = self.silences.to_tell(&evaluation.alerts, &evaluation.changed, now);
        let silences = self.silences.lasting(now);
        for Receiver { desk, wake } in &self.receivers {
            let mut told = told.clone();
            if !desk.send_resolved {
                told.retain(|alert| alert.state != AlertState::Resolved);
            }
            let dropped = desk.outbox.take_in(&News { alerts: &evaluation.alerts, told: &told, silences: &silences, now });
            if dropped > 0 {
                self.metrics.count_notification(&desk.name, false);
                tracing::warn!(receiver = %desk.name, dropped, "notifications dropped: too many wait for the receiver");
            }
            // One wake-up that waits is enough.
            let _already_woken = wake.try_send(());
        }
    }
}

/// Tells a receiver what it is owed whenever the notifier wakes it, and after a pause what failed; ends with the notifier.
async fn deliver(desk: Arc<Desk>, mut woken: mpsc::Receiver<()>, metrics: ProcessMetrics) {
    let mut is_open = true;
    while is_open {
        is_open = woken.recv().await.is_some();
        let mut pauses = desk.sender.pauses();
        while !desk.tell_all(&metrics).await && is_open {
            tokio::select! {
                () = tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)) => {}
                // Nothing more will come: what is owed is tried once more.
                () = gone(&mut woken) => is_open = false,
            }
        }
    }
}

/// Until the notifier is gone; being woken meanwhile changes nothing.
async fn gone(woken: &mut mpsc::Receiver<()>) {
    while woken.recv().await.is_some() {}
}

impl Desk {
    /// Whether everything that is owed was delivered, but for what the receiver refuses for what it says: a message that is
    /// refused is told in halves, down to the alert that it is about.
    async fn tell_all(&self, metrics: &ProcessMetrics) -> bool {
        let mut most = ALERTS_PER_MESSAGE;
        loop {
            let batch = self.outbox.take(most);
            if batch.is_empty() {
                return true;
            }
            let alerts: Vec<&AlertView> = batch.iter().map(|(_, owed)| &owed.alert).collect();
            let sent = self.sender.send(&Message::new(&self.name, &self.external_url, &alerts)).await;
            metrics.count_notification(&self.name, sent.is_ok());
            match sent {
                Ok(()) => {}
                Err(error) if error.is_of_content() && batch.len() == 1 => {
                    tracing::warn!(receiver = %self.name, %error, "notification refused and dropped");
                    most = ALERTS_PER_MESSAGE;
                }
                Err(error) if error.is_of_content() => {
                    tracing::warn!(receiver = %self.name, %error, alerts = batch.len(), "notification refused; told in halves");
                    most = batch.len() / 2;
                    self.outbox.put_back(batch);
                }
                Err(error) => {
                    tracing::warn!(receiver = %self.name, %error, "notification not delivered; it is tried again");
                    self.outbox.put_back(batch);
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
