//! The rules of state, outbox, deadlines and clean-up as sentences, shown on the model and on Redis.

use super::world::*;
use crate::store::*;

rule!(state_outbox_deadline_and_completion_are_one_step, |w| {
    let a = record("e1", 100);
    let grant = w.grant("w1", &a).await;
    let wanted = Change {
        deadline: Deadline::Set { step: "payment".into(), missing: "PAID".into(), within: Duration::from_secs(30) },
        ..change("o|1", &["PAID", "PAID", "SENT"])
    };
    let Commit::Done { version: 1, outbox } = w.commit("w1", &grant, 0, wanted.clone()).await else {
        panic!("not committed")
    };
    let state = w.store.state(w.at(), "o|1").await.unwrap().unwrap();
    assert_eq!((state.version, state.fields), (1, wanted.fields));
    let entries = w.store.read_outbox(w.at(), 10).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), outbox);
    assert_eq!(entries.into_iter().map(|entry| entry.message).collect::<Vec<_>>(), wanted.outbox);
    let books = w.books().await;
    assert_eq!((books.counters.completed, books.in_flight(), books.outbox.entries), (1, 0, 3));
    assert_eq!(books.counters.outbox_by_type, [("PAID".to_owned(), 2), ("SENT".to_owned(), 1)].into());
    let waiting = w.store.sagas(&w.entry(), 10).await.unwrap();
    assert_eq!((waiting.open, waiting.stuck), (1, 0));
    assert_eq!(&*waiting.waiting[0].missing, "PAID", "what is waited for is told before it is late");
    w.pass(30.0);
    let stuck = w.store.sagas(&w.entry(), 10).await.unwrap();
    assert_eq!((stuck.open, stuck.stuck), (1, 1));
    let oldest = &stuck.waiting[0];
    assert_eq!((&*oldest.aggregate, &*oldest.step, &*oldest.missing), ("o|1", "payment", "PAID"));
    assert_eq!((oldest.deadline - oldest.since).num_seconds(), 30);
    let stand = w.store.saga(w.at(), "o|1").await.unwrap().unwrap();
    assert_eq!((stand.step, stand.missing), ("payment".to_owned(), "PAID".to_owned()));
    assert_eq!((stand.since, stand.deadline), (oldest.since, Some(oldest.deadline)));
    assert_eq!(w.store.saga(w.at(), "o2").await.unwrap(), None, "nothing waits there");
});

rule!(a_commit_that_met_another_version_wrote_nothing_and_may_try_again, |w| {
    let (a, b) = (record("e1", 100), record("e2", 101));
    let (first, second) = (w.grant("w1", &a).await, w.grant("w1", &b).await);
    w.commit("w1", &first, 0, change("o1", &["PAID"])).await;
    assert_eq!(w.commit("w1", &second, 0, change("o1", &["SENT"])).await, Commit::VersionMismatch { version: 1 });
    assert_eq!((w.books().await.outbox.entries, w.books().await.in_flight()), (1, 1));
    assert!(matches!(w.commit("w1", &second, 1, change("o1", &[])).await, Commit::Done { version: 2, .. }));
    assert_eq!(w.commit("w1", &second, 2, change("o1", &[])).await, Commit::Again);
    assert_eq!(w.books().await.counters.version_mismatches, 1);
});

rule!(several_commits_of_one_call_see_each_other, |w| {
    let (a, b) = (record("e1", 100), record("e2", 101));
    let request = |grant, expected_version| CommitRequest { grant, expected_version, change: change("o1", &[]) };
    let requests = [
        request(w.grant("w1", &a).await, 0),
        request(w.grant("w1", &b).await, 1),
        request(Grant::of(&record("e3", 102), FencingToken::new(7)), 2),
    ];
    let replies = w.store.commit(w.at(), &owner("w1"), &requests).await.unwrap();
    let done = |version| Commit::Done { version, outbox: vec![] };
    assert_eq!(replies, [done(1), done(2), Commit::Gone]);
});

rule!(an_empty_change_completes_the_event_and_keeps_the_version, |w| {
    let grant = w.grant("w1", &record("e1", 100)).await;
    w.commit("w1", &grant, 0, change("o1", &[])).await;
    let grant = w.grant("w1", &record("e2", 101)).await;
    let nothing = Change { fields: StateFields::new(), ..change("o1", &[]) };
    assert_eq!(w.commit("w1", &grant, 1, nothing).await, Commit::Done { version: 1, outbox: vec![] });
    assert_eq!(w.books().await.counters.completed, 2);
});

rule!(a_root_begins_once_and_not_while_the_outbox_is_full, |w| {
    let order = change("o1", &["ORDER_CREATED"]);
    let Begin::Done { outbox } = w.store.begin(w.at(), &order, 1).await.unwrap() else { panic!("not begun") };
    assert_eq!(outbox.len(), 1);
    assert_eq!(w.store.begin(w.at(), &order, 1).await.unwrap(), Begin::Exists);
    let other = change("o2", &["ORDER_CREATED"]);
    assert_eq!(w.store.begin(w.at(), &other, 1).await.unwrap(), Begin::Full { unsent: 1 });
    assert_eq!(w.store.state(w.at(), "o2").await.unwrap(), None);
});

rule!(a_finished_saga_clears_its_deadline_and_reserved_names_are_refused, |w| {
    let deadline = Deadline::Set { step: "payment".into(), missing: "PAID".into(), within: WINDOW };
    let order = Change { deadline, ..change("o1", &[]) };
    w.store.begin(w.at(), &order, 10).await.unwrap();
    assert_eq!(w.store.sagas(&w.entry(), 10).await.unwrap().open, 1);
    let grant = w.grant("w1", &record("e1", 100)).await;
    let last = Change { finished: true, ..change("o1", &[]) };
    assert!(matches!(w.commit("w1", &grant, 1, last).await, Commit::Done { version: 2, .. }));
    assert_eq!(w.store.sagas(&w.entry(), 10).await.unwrap().open, 0);
    let reserved = Change { fields: [("_v".to_owned(), vec![])].into(), ..order };
    assert!(matches!(w.store.begin(w.at(), &reserved, 10).await, Err(StoreError::BadArgument(_))));
});

rule!(one_relay_holds_an_outbox_and_a_fenced_one_removes_nothing, |w| {
    w.store.begin(w.at(), &change("o1", &["A", "B", "C"]), 10).await.unwrap();
    let lease = Duration::from_secs(10);
    let (r1, r2) = (owner("r1"), owner("r2"));
    let hold = async |who: &Owner| w.store.hold_outbox(w.at(), who, lease).await.unwrap();
    let RelayLease::Held { fence } = hold(&r1).await else { panic!("not held") };
    assert_eq!(hold(&r1).await, RelayLease::Held { fence }, "renewed");
    assert_eq!(hold(&r2).await, RelayLease::Busy { wait: lease, owner: r1.clone() });
    let ids: Vec<OutboxId> = w.store.read_outbox(w.at(), 2).await.unwrap().iter().map(|e| e.id).collect();
    assert_eq!(w.store.trim_outbox(w.at(), fence, &ids).await.unwrap(), Trim::Done { removed: 2 });
    assert_eq!(w.store.trim_outbox(w.at(), fence, &ids).await.unwrap(), Trim::Done { removed: 0 });
    w.store.let_go_of_outbox(w.at(), fence).await.unwrap();
    let RelayLease::Held { fence: newer } = w.store.hold_outbox(w.at(), &r2, lease).await.unwrap() else {
        panic!("not held")
    };
    assert!(newer > fence);
    assert_eq!(w.store.trim_outbox(w.at(), fence, &ids).await.unwrap(), Trim::Fenced);
    assert_eq!(w.store.outbox_stats(w.at()).await.unwrap().entries, 1);
    w.pass(10.0);
    let taken = w.store.hold_outbox(w.at(), &r1, lease).await.unwrap();
    assert!(matches!(taken, RelayLease::Held { fence } if fence > newer), "after a lapse anybody may take it");
});

rule!(the_clean_up_drops_what_is_a_window_past_its_end_and_notes_the_oldest_lapsed_lease, |w| {
    let grant = w.grant("w1", &record("e1", 100)).await;
    let waiting = w.grant("w1", &record("e2", 101)).await;
    w.release(ReleaseReason::Failed, 0, &waiting).await;
    w.pass(1_000.0);
    assert_eq!(w.store.sweep(w.at(), SweepCursor::default()).await.unwrap(), SweepStep { next: None, dropped: 0 });
    assert_eq!(w.books().await.overdue, Duration::from_secs(985));
    w.pass(0.001);
    assert_eq!(w.store.sweep(w.at(), SweepCursor::default()).await.unwrap().dropped, 1, "the waiting one");
    w.pass(15.0);
    assert_eq!(w.store.sweep(w.at(), SweepCursor::default()).await.unwrap().dropped, 1);
    let books = w.books().await;
    assert_eq!((books.counters.abandoned, books.counters.waiting_dropped, books.in_flight()), (1, 1, 0));
    assert_eq!((books.open_records, books.overdue), (0, Duration::ZERO));
    assert_eq!(w.complete("w1", &grant).await, Finish::Orphan, "work of a dropped record is still written down");
});

rule!(a_bound_of_any_size_is_a_bound_on_the_outbox, |w| {
    let planted = Change { finished: true, ..change("o1", &[]) };
    for (order, bound) in [("o1", u64::MAX), ("o2", 1 << 53), ("o3", (1 << 53) - 1)] {
        let planted = Change { aggregate: order.to_owned(), ..planted.clone() };
        assert_eq!(w.store.begin(w.at(), &planted, bound).await.unwrap(), Begin::Done { outbox: vec![] });
    }
});

rule!(a_later_change_without_fields_keeps_the_expiry_and_one_with_fields_decides_anew, |w| {
    let nothing = Change { fields: StateFields::new(), ..change("o1", &[]) };
    let last = Change { finished: true, ..change("o1", &[]) };
    let grant = w.grant("w1", &record("e1", 100)).await;
    assert!(matches!(w.commit("w1", &grant, 0, last.clone()).await, Commit::Done { version: 1, .. }));
    w.pass(400.0);
    let grant = w.grant("w1", &record("e2", 101)).await;
    assert!(matches!(w.commit("w1", &grant, 1, nothing).await, Commit::Done { version: 1, .. }));
    w.pass(2_599.0);
    assert!(!w.has_expired("o1").await, "an id that was settled a window after the end may still be remembered");
    w.pass(1.0);
    assert!(w.has_expired("o1").await, "three windows after the end");
    for (order, later, expires) in [("o2", true, true), ("o3", false, false)] {
        let of = |finished| Change { aggregate: order.to_owned(), finished, ..last.clone() };
        w.store.begin(w.at(), &of(true), 10).await.unwrap();
        w.pass(400.0);
        let grant = w.grant("w1", &record(order, 200)).await;
        assert!(matches!(w.commit("w1", &grant, 1, of(later)).await, Commit::Done { version: 2, .. }));
        w.pass(2_600.0);
        assert!(!w.has_expired(order).await, "{order}: written again");
        w.pass(400.0);
        assert_eq!(w.has_expired(order).await, expires, "{order}");
    }
});
