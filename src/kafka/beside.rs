//! Reads sizes and retention beside the collections, over connections of its own: a broker with a slow disk takes its time
//! for them, answers one request of a connection after the other, and must not hold up what says how far behind anybody is.

use super::{
    cluster::Topology,
    extras::{self, Extra, Extras, Pace},
    groups::Links,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};

/// The values that were read last, and at most one task that reads them again. Dropping it ends the task.
#[derive(Default)]
pub struct Beside {
    pub extras: Extras,
    /// While no task has them.
    links: Links,
    reading: JoinSet<(Links, Extra)>,
    /// Whether the task was begun by the collection that runs now.
    is_new: bool,
}

impl Beside {
    /// Takes in what was read meanwhile, and begins to read what is old unless that goes on already. `meet` gives the links
    /// to the brokers that there are now.
    pub fn begin(&mut self, topology: &Arc<Topology>, pace: Pace, meet: impl FnOnce(Links) -> Links) {
        self.is_new = false;
        while let Some(done) = self.reading.try_join_next() {
            self.take_in(done);
        }
        if !self.reading.is_empty() {
            return;
        }
        let Some(due) = self.extras.due(topology, pace) else { return };
        let (mut links, topology) = (meet(std::mem::take(&mut self.links)), Arc::clone(topology));
        links.values_mut().for_each(|link| link.begin(Duration::MAX));
        self.reading.spawn(async move {
            let extra = extras::read(&mut links, &topology, due).await;
            (links, extra)
        });
        self.is_new = true;
    }

    /// Waits a little for what this collection began to read, so that mostly it is not one collection late.
    pub async fn wait(&mut self, at_most: Duration) {
        if self.is_new
            && let Ok(Some(done)) = timeout(at_most, self.reading.join_next()).await
        {
            self.take_in(done);
        }
    }

    fn take_in(&mut self, done: Result<(Links, Extra), JoinError>) {
        match done {
            Ok((links, extra)) => {
                self.links = links;
                self.extras.take_in(extra);
            }
            Err(error) => tracing::error!(%error, "sizes and retention were not read: a defect ended their task"),
        }
    }
}
