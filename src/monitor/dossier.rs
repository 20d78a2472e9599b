//! All that can be told about one id, gathered once for `/events/{id}` and for `tidemark event`, and written as JSON.

use super::{
    lookup::{
        Answer, Asked, ConsumerPassport, EventFound, EventPassport, EventQuery, LookUp, LookUpError, LookUpFuture,
        OrderTimeline, RecordTold, SagaPassport,
    },
    view::{DuplicateCause, DuplicateOutcome, Place},
};
use crate::{lag::words, services::HUMAN_STEP};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What is known under one id: as an event's, and as an order's.
#[derive(Clone, Debug)]
pub struct Dossier {
    pub id: String,
    pub asked: Asked,
    pub event: Answer<EventPassport>,
    /// The order of this very id.
    pub named_order: Answer<OrderTimeline>,
}

/// How long the answers may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    pub ledger: Duration,
    /// For the one record that is read to find an event's order.
    pub record: Duration,
}

impl Dossier {
    /// Asks for both at once; what has not come by the deadline is unknown. The order of an event that the ledger does not
    /// tell is looked for by the event's record.
    pub async fn gather(look_up: &dyn LookUp, query: EventQuery, deadlines: Deadlines) -> Self {
        let (id, has_key) = (query.id.clone(), query.key.is_some());
        let (event, order) = (look_up.event(query), look_up.order(id.clone()));
        let (event, named_order) =
            tokio::join!(within(deadlines.ledger, async { event.await.map(Some) }), within(deadlines.ledger, order));
        let (asked, event) = match event {
            Answer::Found(EventFound { asked, passport }) => (asked, passport.map_or(Answer::Absent, Answer::Found)),
            Answer::Absent => (Asked::default(), Answer::Absent),
            Answer::Unknown(why) => (Asked::default(), Answer::Unknown(why)),
        };
        let mut dossier = Self { id, asked, event, named_order };
        if !has_key && matches!(dossier.order(), Answer::Absent) {
            dossier.ask_the_record(look_up, deadlines.record).await;
        }
        dossier
    }

    /// The ledger keeps no key of an event, so that its order is found by the record alone.
    async fn ask_the_record(&mut self, look_up: &dyn LookUp, deadline: Duration) {
        let Answer::Found(passport) = &mut self.event else { return };
        let Some(place) = passport.place().cloned() else {
            passport.order =
                Answer::Unknown("not looked for: the ledger does not know where the event's record lies".to_owned());
            return;
        };
        let told =
            told_within(deadline, look_up.record(passport.cluster.clone(), place.clone(), self.id.clone()), &place).await;
        match told {
            Ok(RecordTold { key, order }) => {
                passport.key = key;
                passport.order = order.map_or(Answer::Absent, Answer::Found);
            }
            Err(why) => passport.order = Answer::Unknown(why),
        }
    }

    /// Nothing could be asked.
    pub fn unknown(id: &str, why: &str) -> Self {
        Self {
            id: id.to_owned(),
            asked: Asked::default(),
            event: Answer::Unknown(why.to_owned()),
            named_order: Answer::Unknown(why.to_owned()),
        }
    }

    /// The order of this id, else the one that the event belongs to.
    pub fn order(&self) -> Answer<&OrderTimeline> {
        match (self.named_order.as_ref(), &self.event) {
            (Answer::Absent, Answer::Found(passport)) => passport.order.as_ref(),
            (Answer::Unknown(why), Answer::Found(passport)) => match passport.order.as_ref() {
                found @ Answer::Found(_) => found,
                Answer::Absent | Answer::Unknown(_) => Answer::Unknown(why),
            },
            (named, _) => named,
        }
    }

    /// Everybody answered, and nobody knows the id.
    pub fn is_absent(&self) -> bool {
        matches!((&self.event, &self.named_order), (Answer::Absent, Answer::Absent))
    }

    pub fn to_json(&self) -> Value {
        let mut body = json!({ "event_id": self.id, "known": null, "consumers": null, "order": null,
            "sources_asked": self.asked.sources, "groups_not_asked": self.asked.left_out.iter().map(|group| &**group).collect::<Vec<_>>() });
        match &self.event {
            Answer::Found(passport) => {
                body["known"] = true.into();
                body["source"] = passport.source.clone().into();
                body["cluster"] = Some(&passport.cluster).filter(|name| !name.is_empty()).cloned().into();
                body["key"] = passport.key.clone().into();
                body["consumers"] = passport.consumers.iter().map(consumer).collect();
                body["window_seconds"] = passport.window.as_secs_f64().into();
                body["unanswered_shards"] = passport.unanswered_shards.into();
            }
            Answer::Absent => body["known"] = false.into(),
            Answer::Unknown(why) => body["unknown"] = why.clone().into(),
        }
        match self.order() {
            Answer::Found(order) => body["order"] = order_json(order),
            Answer::Absent => {}
            Answer::Unknown(why) => body["order_unknown"] = why.into(),
        }
        body
    }
}

/// What an order waits for, since when and until when, as one sentence.
pub fn saga_sentence(saga: &SagaPassport, now: DateTime<Utc>) -> String {
    let span = |from: DateTime<Utc>, to: DateTime<Utc>| words::duration((to - from).to_std().unwrap_or_default());
    let Some(wait) = &saga.wait else { return "It waits for nothing.".to_owned() };
    let since = span(wait.since, now);
    if wait.step == HUMAN_STEP {
        return format!("{} exclude each other, for {since}: a human has to settle it.", wait.missing);
    }
    let deadline = match wait.deadline {
        None => "its deadline was not found, because too many others wait".to_owned(),
        Some(deadline) if deadline > now => format!("its deadline is in {}", span(now, deadline)),
        Some(deadline) => format!("its deadline was {} ago", span(deadline, now)),
    };
    format!("It waits for {} (step {}) since {since}; {deadline}.", wait.missing, wait.step)
}

async fn within<T>(deadline: Duration, look_up: impl Future<Output = Result<Option<T>, LookUpError>>) -> Answer<T> {
    match tokio::time::timeout(deadline, look_up).await {
        Ok(Ok(Some(found))) => Answer::Found(found),
        Ok(Ok(None)) => Answer::Absent,
        Ok(Err(LookUpError::Unreachable(cause))) => Answer::Unknown(format!("the ledger does not answer: {cause}")),
        Ok(Err(LookUpError::Forgot(cause))) => Answer::Unknown(format!("the ledger forgot: {cause}")),
        Ok(Err(LookUpError::NotAsked(why) | LookUpError::Record(why))) => Answer::Unknown(why),
        Err(_) => Answer::Unknown(format!("the ledger did not answer within {}", words::duration_fine(deadline))),
    }
}

async fn told_within(deadline: Duration, read: LookUpFuture<RecordTold>, place: &Place) -> Result<RecordTold, String> {
    let why = match tokio::time::timeout(deadline, read).await {
        Ok(Ok(told)) => return Ok(told),
        Ok(Err(LookUpError::Unreachable(cause))) => format!("the ledger does not answer: {cause}"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("Kafka did not give {place} within {}", words::duration_fine(deadline)),
    };
    Err(format!("not looked for: {why}"))
}

fn consumer(consumer: &ConsumerPassport) -> Value {
    let repeats: Vec<Value> = consumer
        .repeats
        .iter()
        .map(|repeat| {
            json!({ "at": words::iso(repeat.at), "cause": repeat.cause.label(), "outcome": repeat.outcome.label(),
                "place": repeat.place.as_ref().map(ToString::to_string), "owner": repeat.owner, "late": repeat.late })
        })
        .collect();
    let by_cause: Map<String, Value> = DuplicateCause::ALL
        .into_iter()
        .filter_map(|cause| {
            let [suppressed, executed] =
                [DuplicateOutcome::Suppressed, DuplicateOutcome::Executed].map(|outcome| consumer.count(cause, outcome));
            (suppressed + executed > 0)
                .then(|| (cause.label().to_owned(), json!({ "suppressed": suppressed, "executed": executed })))
        })
        .collect();
    json!({
        "group": &*consumer.group, "state": consumer.state.label(),
        "unknown": Some(&consumer.note).filter(|note| !note.is_empty()),
        "fence": consumer.fence, "claimed_at": consumer.claimed_at.map(words::iso),
        "place": consumer.place.as_ref().map(ToString::to_string), "owner": consumer.owner, "attempts": consumer.attempts,
        "until": consumer.until.map(words::iso), "dead_letter_topics": consumer.dead_letter_topics(),
        "repeats_by_cause": by_cause, "recent_repeats": repeats,
    })
}

fn order_json(order: &OrderTimeline) -> Value {
    let steps: Vec<Value> = order
        .steps
        .iter()
        .map(|step| json!({ "at": words::iso(step.at), "type": step.event_type, "event_id": step.event_id }))
        .collect();
    let settled: Vec<Value> = order
        .settled
        .iter()
        .map(|word| json!({ "at": words::iso(word.at), "by": word.by, "as": word.outcome, "reason": word.reason }))
        .collect();
    json!({ "order_id": order.order_id, "status": order.status, "saga": saga(&order.saga), "settled": settled, "timeline": steps })
}

fn saga(saga: &SagaPassport) -> Value {
    let wait = saga.wait.as_ref();
    json!({
        "state": saga.state.map(|state| state.label()), "step": wait.map(|wait| &wait.step),
        "missing": wait.map(|wait| &wait.missing), "since": wait.map(|wait| words::iso(wait.since)),
        "deadline": wait.and_then(|wait| wait.deadline).map(words::iso),
    })
}
