use super::*;

pub(super) fn empty_group(group: &str) -> LedgerGroupView {
    LedgerGroupView {
        group: group.into(),
        state: Ok(()),
        shards: 0,
        duplicates: Default::default(),
        granted_first: 0,
        granted_retry: 0,
        granted_takeover: 0,
        granted_redrive: 0,
        completed: 0,
        released: 0,
        failed: 0,
        superseded: 0,
        abandoned: 0,
        in_flight: 0,
        imbalance: 0,
        orphans: 0,
        fenced: 0,
        overdue: Default::default(),
        lost_calls: 0,
        window: Default::default(),
        remembered_ids: 0,
        outbox_entries: 0,
        outbox_oldest: Default::default(),
        gap_buckets: Vec::new(),
        late: 0,
    }
}
