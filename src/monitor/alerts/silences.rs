//! Alerts that somebody asked not to be told of for a while: by rule, and by cluster and group where these are named.
//!
//! They stay on the page, marked. Receivers are told when a silence ends and the alert still fires, and never that one was
//! resolved of which they were not told. Kept in memory, so that a new start of the monitor tells everything.

use super::key::AlertKey;
use crate::monitor::view::{AlertState, AlertView};
use chrono::{DateTime, Utc};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Silences at the same time; more are refused.
pub const SILENCES_MAX: usize = 100;

/// Whose alerts of a rule are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Every cluster, where none is named.
    pub cluster: Option<Arc<str>>,
    /// Every group, and what is no group's, where none is named.
    pub group: Option<Arc<str>>,
}

/// What is silenced, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    pub id: u64,
    pub rule: &'static str,
    pub subject: Subject,
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

impl Silence {
    pub fn covers(&self, alert: &AlertView, now: DateTime<Utc>) -> bool {
        let Subject { cluster, group } = &self.subject;
        self.until > now
            && self.rule == alert.name
            && cluster.as_ref().is_none_or(|cluster| *cluster == alert.cluster)
            && group.as_ref().is_none_or(|group| Some(group) == alert.group.as_ref())
    }
}

/// The silences of one monitor.
#[derive(Debug, Default)]
pub struct Silences(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    last_id: u64,
    list: Vec<Silence>,
    /// Firing alerts of which receivers were not told.
    held_back: HashSet<AlertKey>,
}

impl Silences {
    /// The silence that was made; `None` when there are too many.
    pub fn begin(
        &self,
        rule: &'static str,
        subject: Subject,
        (now, until): (DateTime<Utc>, DateTime<Utc>),
    ) -> Option<Silence> {
        let mut kept = self.kept();
        kept.list.retain(|silence| silence.until > now);
        if kept.list.len() >= SILENCES_MAX {
            return None;
        }
        kept.last_id += 1;
        let silence = Silence { id: kept.last_id, rule, subject, since: now, until };
        kept.list.push(silence.clone());
        Some(silence)
    }

    /// Whether there was such a silence.
    pub fn end(&self, id: u64) -> bool {
        let mut kept = self.kept();
        let before = kept.list.len();
        kept.list.retain(|silence| silence.id != id);
        kept.list.len() < before
    }

    /// Those that last, the one that ends first before the others.
    pub fn lasting(&self, now: DateTime<Utc>) -> Vec<Silence> {
        let mut lasting: Vec<Silence> = self.kept().list.iter().filter(|silence| silence.until > now).cloned().collect();
        lasting.sort_by_key(|silence| (silence.until, silence.id));
        lasting
    }

    /// What receivers are to be told, of all alerts and of those that have changed.
    pub fn to_tell<'a>(&self, alerts: &'a [AlertView], changed: &'a [AlertView], now: DateTime<Utc>) -> Vec<&'a AlertView> {
        let mut kept = self.kept();
        let Kept { list, held_back, .. } = &mut *kept;
        list.retain(|silence| silence.until > now);
        if list.is_empty() && held_back.is_empty() {
            return changed.iter().collect();
        }
        let covered = |alert: &AlertView| list.iter().any(|silence| silence.covers(alert, now));
        let mut told = Vec::new();
        for alert in changed {
            match alert.state {
                AlertState::Firing if covered(alert) => {
                    held_back.insert(AlertKey::of(alert));
                }
                AlertState::Resolved if held_back.remove(&AlertKey::of(alert)) => {}
                AlertState::Firing | AlertState::Pending | AlertState::Resolved => told.push(alert),
            }
        }
        if held_back.is_empty() {
            return told;
        }
        let mut still = HashSet::new();
        for alert in alerts.iter().filter(|alert| alert.state == AlertState::Firing) {
            let key = AlertKey::of(alert);
            if !held_back.contains(&key) {
                continue;
            }
            if covered(alert) {
                still.insert(key);
            } else {
                told.push(alert);
            }
        }
        // What neither fires nor was resolved in sight of us is over.
        *held_back = still;
        told
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until when an alert is silenced by one of these, at the latest.
pub fn silenced_until(lasting: &[Silence], alert: &AlertView, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    lasting.iter().filter(|silence| silence.covers(alert, now)).map(|silence| silence.until).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::fixture::{alert, at};

    fn told(silences: &Silences, alerts: &[AlertView], changed: &[AlertView], minute: i64) -> Vec<String> {
        let told = silences.to_tell(alerts, changed, at(60 * minute));
        told.iter().map(|alert| format!("{} {}", alert.group.as_deref().unwrap_or(""), alert.state.label())).collect()
    }

    fn silence(silences: &Silences, group: Option<&str>, minutes: (i64, i64)) -> Silence {
        let times = (at(60 * minutes.0), at(60 * minutes.1));
        let subject = Subject { group: group.map(Arc::from), ..Subject::default() };
        silences.begin("KafkaConsumerStalled", subject, times).unwrap()
    }

    #[test]
    fn a_silenced_alert_is_told_when_the_silence_ends_and_it_still_fires() {
        let silences = Silences::default();
        silence(&silences, Some("g"), (0, 10));
        let (g, h) = (alert("g", AlertState::Firing), alert("h", AlertState::Firing));
        let both = [g.clone(), h];
        assert_eq!(told(&silences, &both, &both, 1), ["h firing"], "another group is not silenced");
        assert!(told(&silences, &both, &[], 9).is_empty());
        assert_eq!(told(&silences, &both, &[], 10), ["g firing"]);
        assert!(told(&silences, &both, &[], 11).is_empty(), "once");
        assert_eq!(told(&silences, &[], &[alert("g", AlertState::Resolved)], 12), ["g resolved"]);
    }

    #[test]
    fn a_silence_of_one_cluster_leaves_the_same_group_of_another_alone() {
        let silences = Silences::default();
        let subject = Subject { cluster: Some("c".into()), group: Some("g".into()) };
        silences.begin("KafkaConsumerStalled", subject, (at(0), at(600))).unwrap();
        let here = alert("g", AlertState::Firing);
        let there = AlertView { cluster: "other".into(), summary: "there".to_owned(), ..here.clone() };
        let both = [here, there];
        let told: Vec<&str> = silences.to_tell(&both, &both, at(60)).iter().map(|alert| alert.summary.as_str()).collect();
        assert_eq!(told, ["there"]);
    }

    #[test]
    fn nobody_hears_of_the_end_of_what_nobody_was_told_of() {
        let silences = Silences::default();
        let first = silence(&silences, None, (0, 10));
        let (fires, over) = ([alert("g", AlertState::Firing)], [alert("g", AlertState::Resolved)]);
        assert!(told(&silences, &fires, &fires, 1).is_empty());
        assert!(told(&silences, &over, &over, 2).is_empty());
        assert!(silences.end(first.id) && !silences.end(first.id));
        // It began before the silence: its end is told.
        assert_eq!(told(&silences, &fires, &fires, 3), ["g firing"]);
        silence(&silences, None, (4, 10));
        assert_eq!(told(&silences, &over, &over, 5), ["g resolved"]);
    }

    #[test]
    fn silences_end_by_themselves_and_are_bounded() {
        let silences = Silences::default();
        silence(&silences, Some("g"), (0, 1));
        let fires = alert("g", AlertState::Firing);
        assert_eq!(silenced_until(&silences.lasting(at(0)), &fires, at(0)), Some(at(60)));
        assert!(silences.lasting(at(60)).is_empty());
        for _ in 0..SILENCES_MAX {
            silence(&silences, None, (2, 9));
        }
        assert_eq!(silences.begin("KafkaConsumerStalled", Subject::default(), (at(120), at(180))), None);
        assert!(
            silences.begin("KafkaConsumerStalled", Subject::default(), (at(600), at(660))).is_some(),
            "those that ended make room"
        );
    }
}
