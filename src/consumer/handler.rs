//! What the loop has to know of a service. The three of the shop are handlers; so is any other that reads their events.

use crate::events::Event;
use crate::services::{Service, StateError, Verdict};
use crate::store::FencingToken;
use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, FutureExt, ready};

/// A service as the consumer loop sees it: what it reads, and what it makes of one event.
///
/// For a granted event the loop calls [`Handler::act`], then [`Handler::decide`], and commits the verdict together with the
/// event's completion in one step. Events of one order come in their order, one at a time.
pub trait Handler: Send + Sync + 'static {
    /// Its consumer group, which names its ledger too.
    fn group(&self) -> &str;

    /// What logs call it.
    fn name(&self) -> &str {
        self.group()
    }

    /// The topics that it reads. They are created when they are missing, and a dead-letter topic for each.
    fn topics(&self) -> Vec<String>;

    /// The topics that its own events go to; created as well.
    fn publishes_to(&self) -> Vec<String> {
        Vec::new()
    }

    /// Work outside the store: a mail, a card that is charged. Whoever does it has to be given the event's id as idempotency
    /// key, because a process may die between this and the commit: the event is then acted on again, with a higher fence.
    ///
    /// # Errors
    /// The work failed, in words: it is tried again, and given up after the configured number of failures. A panic, here or in
    /// [`Handler::decide`], is such a failure too.
    fn act<'a>(&'a self, _work: Work<'a>) -> BoxFuture<'a, Result<Acted, String>> {
        ready(Ok(Acted::Nothing)).boxed()
    }

    /// Decides about `event` with the state as it is stored for its order. Called again on another state when somebody has
    /// changed it meanwhile, so that nothing may be done here.
    ///
    /// # Errors
    /// The stored state cannot be read.
    fn decide(&self, state: Option<&str>, event: &Event, now: DateTime<Utc>) -> Result<Verdict, StateError>;
}

/// One granted event that is to be acted on.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    pub event: &'a Event,
    /// Rises with every grant: whoever keeps the highest one that it has seen can refuse a holder that came too late.
    pub fence: FencingToken,
    /// From 1 on; above 1 an earlier attempt failed or died, and may have been half done.
    pub attempt: u32,
}

/// What became of the work outside the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    /// There was none.
    Nothing,
    /// It is done: the event is committed before the next one is looked at, so that a crash repeats no more than one.
    Done,
}

impl Handler for Service {
    fn group(&self) -> &str {
        Service::group(*self)
    }

    fn name(&self) -> &str {
        Service::name(*self)
    }

    fn topics(&self) -> Vec<String> {
        self.subscriptions().iter().map(|topic| topic.name().to_owned()).collect()
    }

    fn publishes_to(&self) -> Vec<String> {
        vec![Service::publishes_to(*self).name().to_owned()]
    }

    fn decide(&self, state: Option<&str>, event: &Event, now: DateTime<Utc>) -> Result<Verdict, StateError> {
        Service::decide(*self, state, event, now)
    }
}
