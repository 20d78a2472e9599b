//! What one receiver has still to be told: the latest of each alert. What failed goes back, unless something newer stands there
//! by then, so that a receiver that was away hears of what fires now and of what ended meanwhile, once.

use crate::monitor::{
    alerts::{engine::order, key::AlertKey, silences::Silence},
    view::{AlertState, AlertView},
};
use chrono::{DateTime, Utc};
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Alerts that one receiver may be owed; further ones are dropped and counted as failed.
pub const OWED_MAX: usize = 5_000;

/// For how long a receiver that cannot be reached is owed what is over.
const PAST_KEPT: Duration = Duration::from_secs(3_600);

/// Alerts on their way in one message.
pub(super) type Batch = Vec<(AlertKey, Owed)>;

/// The alerts of one view, as a receiver is told of them.
pub(super) struct News<'a> {
    pub alerts: &'a [AlertView],
    /// Those that a receiver is to be told of now; without what is silenced.
    pub told: &'a [&'a AlertView],
    pub silences: &'a [Silence],
    pub now: DateTime<Utc>,
}

pub(super) struct Outbox {
    kept: Mutex<Kept>,
    /// How often a firing alert is told again; `None` for once.
    repeat_interval: Option<Duration>,
    /// Whether the receiver hears of ends. One that does not is not told of what is over by the time that it can be told.
    tells_ends: bool,
}

#[derive(Default)]
struct Kept {
    owed: HashMap<AlertKey, Owed>,
    /// When firing alerts were put out last; kept only where they are told again.
    told_at: HashMap<AlertKey, DateTime<Utc>>,
}

pub(super) struct Owed {
    pub alert: AlertView,
    is_silenced: bool,
    /// The last view in which it was like this.
    seen: DateTime<Utc>,
}

impl Owed {
    fn new(alert: &AlertView, seen: DateTime<Utc>) -> Self {
        Self { alert: alert.clone(), is_silenced: false, seen }
    }
}

impl Outbox {
    pub fn new(repeat_interval: Option<Duration>, tells_ends: bool) -> Self {
        Self { kept: Mutex::default(), repeat_interval, tells_ends }
    }

    /// Takes in what a view says; gives how many alerts found no room.
    pub fn take_in(&self, news: &News<'_>) -> usize {
        let mut kept = self.kept();
        if !kept.owed.is_empty() || !kept.told_at.is_empty() {
            kept.refresh(news, self.repeat_interval, self.tells_ends);
        }
        let mut dropped = 0;
        for alert in news.told {
            let key = AlertKey::of(alert);
            if self.repeat_interval.is_some() && alert.state == AlertState::Firing {
                kept.told_at.insert(key.clone(), news.now);
            }
            if kept.owed.len() < OWED_MAX || kept.owed.contains_key(&key) {
                kept.owed.insert(key, Owed::new(alert, news.now));
            } else {
                dropped += 1;
            }
        }
        dropped
    }

    /// At most so many alerts for one message, the worst first; empty when nothing is owed that is not silenced.
    pub fn take(&self, most: usize) -> Batch {
        let mut kept = self.kept();
        let mut open: Vec<_> = kept.owed.iter().filter(|(_, owed)| !owed.is_silenced).collect();
        open.sort_by(|a, b| order(&a.1.alert).cmp(&order(&b.1.alert)));
        let keys: Vec<AlertKey> = open.into_iter().take(most).map(|(key, _)| key.clone()).collect();
        keys.into_iter().filter_map(|key| kept.owed.remove(&key).map(|owed| (key, owed))).collect()
    }

    /// What was not delivered is owed again.
    pub fn put_back(&self, batch: Batch) {
        let mut kept = self.kept();
        for (key, owed) in batch {
            kept.owed.entry(key).or_insert(owed);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Brings what is owed up to the view: what fires still is told as it is now, what is silenced waits, what has been over
    /// for long is forgotten. Adds what is due to be told again.
    fn refresh(&mut self, news: &News<'_>, repeat_interval: Option<Duration>, tells_ends: bool) {
        let is_silenced = |alert: &AlertView| news.silences.iter().any(|silence| silence.covers(alert, news.now));
        let firing = news.alerts.iter().filter(|alert| alert.state == AlertState::Firing);
        let firing: HashMap<AlertKey, &AlertView> = firing.map(|alert| (AlertKey::of(alert), alert)).collect();
        self.owed.retain(|key, owed| match (owed.alert.state, firing.get(key)) {
            (AlertState::Firing | AlertState::Pending, Some(now)) => {
                *owed = Owed { is_silenced: is_silenced(now), ..Owed::new(now, news.now) };
                true
            }
            (AlertState::Firing | AlertState::Pending, None) if !tells_ends => false,
            (_, _) => age(owed.seen, news.now) < PAST_KEPT,
        });
        self.told_at.retain(|key, _| firing.contains_key(key));
        let Some(interval) = repeat_interval else { return };
        let due = |at: DateTime<Utc>| age(at, news.now) >= interval;
        let again: HashSet<AlertKey> = self.told_at.iter().filter(|(_, at)| due(**at)).map(|(key, _)| key.clone()).collect();
        for (key, alert) in firing.into_iter().filter(|(key, alert)| again.contains(key) && !is_silenced(alert)) {
            self.told_at.insert(key.clone(), news.now);
            if self.owed.len() < OWED_MAX {
                self.owed.entry(key).or_insert_with(|| Owed::new(alert, news.now));
            }
        }
    }
}

fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    now.signed_duration_since(at).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::{
        alerts::silences::{Silences, Subject},
        fixture::{self, at},
    };

    fn alert(group: &str, state: AlertState, value: f64) -> AlertView {
        AlertView { value, ..fixture::alert(group, state) }
    }

    const FIRING: AlertState = AlertState::Firing;
    const RESOLVED: AlertState = AlertState::Resolved;

    /// Takes in a view with these alerts, of which `told` are new.
    fn hear(outbox: &Outbox, minute: i64, alerts: &[AlertView], told: &[AlertView], silences: &[Silence]) -> usize {
        let told: Vec<&AlertView> = told.iter().collect();
        outbox.take_in(&News { alerts, told: &told, silences, now: at(60 * minute) })
    }

    fn shown(batch: &Batch) -> Vec<(&str, AlertState, f64)> {
        batch.iter().map(|(_, Owed { alert, .. })| (alert.group.as_deref().unwrap(), alert.state, alert.value)).collect()
    }

    #[test]
    fn what_failed_is_told_as_it_is_by_then_and_what_is_over_is_told_to_be_over() {
        let outbox = Outbox::new(None, true);
        let (a, b, c) = (alert("a", FIRING, 1.0), alert("b", FIRING, 1.0), alert("c", FIRING, 1.0));
        let all = [a.clone(), b.clone(), c.clone()];
        hear(&outbox, 0, &all, &all, &[]);
        let batch = outbox.take(9);
        assert_eq!(batch.len(), 3);
        // While it is on its way b ends; then it fails. The end of c is told nobody yet.
        hear(&outbox, 1, &[a.clone(), c], &[alert("b", RESOLVED, 1.0)], &[]);
        outbox.put_back(batch);
        hear(&outbox, 2, &[alert("a", FIRING, 7.0)], &[], &[]);
        assert_eq!(shown(&outbox.take(9)), [("a", FIRING, 7.0), ("c", FIRING, 1.0), ("b", RESOLVED, 1.0)]);
        assert_eq!(shown(&outbox.take(9)), [], "once");
        // What nobody takes is not news for ever.
        hear(&outbox, 3, &[], &[alert("b", RESOLVED, 1.0)], &[]);
        hear(&outbox, 63, &[], &[], &[]);
        assert_eq!(shown(&outbox.take(9)), []);
    }

    #[test]
    fn who_hears_of_no_ends_is_not_told_of_what_is_over() {
        let outbox = Outbox::new(None, false);
        let all = [alert("a", FIRING, 1.0), alert("b", FIRING, 1.0)];
        hear(&outbox, 0, &all, &all, &[]);
        outbox.put_back(outbox.take(9));
        hear(&outbox, 1, &all[..1], &[], &[]);
        assert_eq!(shown(&outbox.take(9)), [("a", FIRING, 1.0)]);
    }

    #[test]
    fn what_is_silenced_while_it_is_owed_waits_for_the_end_of_the_silence() {
        let (outbox, silences) = (Outbox::new(None, true), Silences::default());
        let a = [alert("a", FIRING, 1.0)];
        hear(&outbox, 0, &a, &a, &[]);
        silences.begin("KafkaConsumerStalled", Subject::default(), (at(60), at(600))).unwrap();
        hear(&outbox, 2, &a, &[], &silences.lasting(at(120)));
        assert_eq!(shown(&outbox.take(9)), []);
        hear(&outbox, 10, &a, &[], &silences.lasting(at(600)));
        assert_eq!(shown(&outbox.take(9)).len(), 1);
    }

    #[test]
    fn a_firing_alert_is_told_again_after_the_interval_where_there_is_one() {
        let told = |repeat_interval, silenced: bool| {
            let (outbox, silences) = (Outbox::new(repeat_interval, true), Silences::default());
            let a = [alert("a", FIRING, 1.0)];
            if silenced {
                silences.begin("KafkaConsumerStalled", Subject::default(), (at(60), at(6_000))).unwrap();
            }
            let minutes = (0..22).filter(|&minute| {
                let new = if minute == 0 { &a[..] } else { &[] };
                hear(&outbox, minute, &a, new, &silences.lasting(at(60 * minute)));
                !outbox.take(9).is_empty()
            });
            minutes.collect::<Vec<_>>()
        };
        let ten_minutes = Some(Duration::from_secs(600));
        assert_eq!(told(None, false), [0]);
        assert_eq!(told(ten_minutes, false), [0, 10, 20]);
        assert_eq!(told(ten_minutes, true), [0]);
    }

    #[test]
    fn what_one_receiver_is_owed_is_bounded() {
        let outbox = Outbox::new(None, true);
        let many: Vec<AlertView> = (0..OWED_MAX + 10).map(|n| alert(&format!("g{n}"), FIRING, 1.0)).collect();
        assert_eq!(hear(&outbox, 0, &many, &many, &[]), 10);
        assert_eq!(hear(&outbox, 1, &many, &many[..5], &[]), 0, "the same alerts take no further room");
        assert_eq!((outbox.take(100).len(), outbox.take(OWED_MAX).len()), (100, OWED_MAX - 100));
    }
}
