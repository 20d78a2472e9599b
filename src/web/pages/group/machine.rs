//! One group as JSON, down to its partitions and members.

use super::super::super::{state::DashboardState, verdict::time_lag_source_label, words};
use super::super::{
    groups::{GroupJson, last_known_json},
    status::audit_json,
    topic::transaction_json,
};
use super::{partitions::Part, replay};
use crate::monitor::view::{ClusterView, GroupTopicView, GroupView, PartitionView, TransactionView};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

pub fn json(dashboard: &DashboardState, cluster: &ClusterView, group: &GroupView) -> Value {
    let members = group.members.as_ref().known().map(|members| {
        let member = |m: &crate::monitor::view::MemberView| {
            let assignment: Vec<_> =
                m.assignment.iter().map(|tp| json!({ "topic": &*tp.topic, "partition": tp.partition })).collect();
            json!({ "id": &*m.id, "client_id": &*m.client_id, "host": &*m.host, "assignment": assignment })
        };
        members.iter().map(member).collect::<Vec<_>>()
    });
    let books = cluster.ledger.as_ref().and_then(|ledger| ledger.groups.iter().find(|books| books.group == group.id));
    let (parts, now) = (group.partitions(), cluster.collected_at.unwrap_or(group.as_of));
    json!({
        "group": GroupJson::new(&dashboard.links, cluster, group, cluster.letters_of(&group.id)),
        "topics": group.topics.iter().map(|one| topic(cluster, group, one, &parts, now)).collect::<Vec<_>>(),
        "members": members,
        "replay": replay::of_group(&dashboard.published, cluster, group, &parts).as_ref().map(replay::json),
        "window_audit": books.map(|books| audit_json(cluster, books)),
        "offsets_kept_until": group.offsets_kept_until.and_then(crate::lag::Reading::known).map(words::iso),
        "thresholds": {
            "lag_messages": { "warning": group.thresholds.lag_messages.warning, "critical": group.thresholds.lag_messages.critical },
            "lag_seconds": { "warning": group.thresholds.lag_seconds.warning, "critical": group.thresholds.lag_seconds.critical },
            "own": group.thresholds.own,
        },
    })
}

fn topic(cluster: &ClusterView, group: &GroupView, topic: &GroupTopicView, parts: &[Part<'_>], now: DateTime<Utc>) -> Value {
    let own = parts.iter().filter(|(of, _)| of.topic == topic.topic);
    let known = cluster.topics.iter().find(|known| known.name == topic.topic);
    let held = |p: &PartitionView| known?.transactions.iter().find(|one| one.partition == p.partition);
    json!({
        "topic": &*topic.topic,
        "lag": topic.lag().known(),
        "expired": topic.expired(),
        "lost_total": topic.lost_total(),
        "consumed_total": topic.consumed_total,
        "rewound_total": topic.rewound_total(),
        "unsubscribed": topic.unsubscribed,
        "partitions": own.map(|(_, p)| partition(group, p, held(p), now)).collect::<Vec<_>>(),
    })
}

fn partition(group: &GroupView, p: &PartitionView, held: Option<&TransactionView>, now: DateTime<Utc>) -> Value {
    let mut unknown = serde_json::Map::new();
    let mut note = |field: &str, reason: Option<crate::lag::UnknownReason>| {
        if let Some(reason) = reason {
            unknown.insert(field.into(), reason.label().into());
        }
    };
    note("lag", p.lag.reason());
    note("committed", p.committed.reason());
    note("range", p.range.reason());
    note("expired", p.expired.reason());
    note("lag_seconds", p.time_lag.reason());
    json!({
        "partition": p.partition,
        "owner": p.owner.as_deref(),
        "status": p.status.label(),
        "committed": p.committed.known().map(|offset| offset.get()),
        "start": p.range.known().map(|range| range.start.get()),
        "end": p.range.known().map(|range| range.end.get()),
        "lag": p.lag.known(),
        "last_known": last_known_json(p.last_known, now),
        "read_committed_lag": group.read_committed_lag(p).known(),
        "transaction": held.map(transaction_json),
        "expired": p.expired.known(),
        "beyond_end": p.beyond_end,
        "lag_seconds": p.time_lag.known().map(|lag| lag.age.as_secs_f64()),
        "lag_seconds_source": time_lag_source_label(&p.time_lag, p.time_lag_at_least),
        "lag_seconds_at_least": p.time_lag_at_least.map(|age| age.as_secs_f64()),
        "consumed_per_second": p.consumed_per_second.known(),
        "produced_per_second": p.produced_per_second.known(),
        "at_risk": p.at_risk.known(),
        "unknown": unknown,
    })
}
