//! Each rule of the ledger as a sentence, shown on the model and on Redis.

use super::world::*;
use crate::store::DuplicateCause::*;
use crate::store::DuplicateOutcome::*;
use crate::store::*;

fn cause_of(claim: &Claim) -> Option<DuplicateCause> {
    match claim {
        Claim::Duplicate { cause, .. } => Some(*cause),
        Claim::Conflict { .. } => Some(Conflict),
        Claim::Granted { .. } | Claim::Busy { .. } | Claim::NotYet { .. } => None,
    }
}

fn granted(claim: &Claim) -> Option<(u32, GrantKind)> {
    match claim {
        Claim::Granted { attempt, how, .. } => Some((*attempt, *how)),
        Claim::Duplicate { .. } | Claim::Busy { .. } | Claim::NotYet { .. } | Claim::Conflict { .. } => None,
    }
}

rule!(the_same_record_again_is_a_redelivery, |w| {
    let a = record("e1", 100);
    let grant = w.grant("w1", &a).await;
    assert_eq!(w.complete("w1", &grant).await, Finish::Done);
    w.pass(1.0);
    let again = w.claim(&terms("w1"), &a).await;
    let first_at = grant.fence.granted_at();
    assert_eq!(again, Claim::Duplicate { cause: Redelivery, first_at, first_place: a.place, late: false });
    assert_eq!(w.duplicates(Redelivery, Suppressed).await, 1);
});

rule!(the_same_id_in_another_record_is_a_republish_and_so_is_a_copy_read_again, |w| {
    let grant = w.grant("w1", &record("e1", 100)).await;
    w.complete("w1", &grant).await;
    for _ in 0..2 {
        assert_eq!(cause_of(&w.claim(&terms("w1"), &record("e1", 177)).await), Some(Republish));
    }
    assert_eq!(w.duplicates(Republish, Suppressed).await, 2);
});

rule!(whoever_replays_on_purpose_wins_over_place, |w| {
    let a = record("e1", 100);
    let grant = w.grant("w1", &a).await;
    w.complete("w1", &grant).await;
    for delivery in [a.clone(), record("e1", 177), Delivery { waited: true, ..a }] {
        assert_eq!(cause_of(&w.claim(&with_intent("w1", Intent::Replay), &delivery).await), Some(Replay));
    }
    assert_eq!(w.duplicates(Replay, Suppressed).await, 3);
});

rule!(a_delivery_that_met_a_live_owner_is_counted_once_and_as_concurrent, |w| {
    let a = record("e1", 100);
    let grant = w.grant("w1", &a).await;
    for _ in 0..3 {
        assert_eq!(
            w.claim(&terms("w2"), &record("e1", 177)).await,
            Claim::Busy { wait: Duration::from_secs(15), owner: owner("w1") }
        );
    }
    assert_eq!(w.all_duplicates().await, 0, "nobody knows yet whether it will be one");
    w.complete("w1", &grant).await;
    let waited = Delivery { waited: true, ..record("e1", 177) };
    assert_eq!(cause_of(&w.claim(&terms("w2"), &waited).await), Some(Concurrent));
    assert_eq!((w.duplicates(Concurrent, Suppressed).await, w.all_duplicates().await), (1, 1));
});

rule!(a_conflict_beats_every_other_cause, |w| {
    let other = |delivery: Delivery| Delivery { payload: PayloadHash::of(b"b"), ..delivery };
    let a = record("e1", 100);
    let stored = Claim::Conflict { stored: a.payload };
    let grant = w.grant("w1", &a).await;
    assert_eq!(w.claim(&terms("w2"), &other(a.clone())).await, stored, "beats busy");
    w.complete("w1", &grant).await;
    assert_eq!(w.claim(&terms("w2"), &other(a.clone())).await, stored, "beats redelivery");
    assert_eq!(w.claim(&with_intent("w2", Intent::Replay), &other(a.clone())).await, stored, "beats replay");
    let waited = Delivery { waited: true, ..other(a.clone()) };
    assert_eq!(w.claim(&terms("w2"), &waited).await, stored, "beats concurrent");
    let dead = record("e2", 101);
    let grant = w.grant("w1", &dead).await;
    w.fail("w1", &grant).await;
    assert_eq!(w.claim(&terms("w2"), &other(dead.clone())).await, stored, "beats dead");
    assert_eq!(w.claim(&with_intent("w2", Intent::Redrive), &other(dead)).await, stored, "beats redrive");
    assert_eq!((w.duplicates(Conflict, Suppressed).await, w.all_duplicates().await), (6, 6));
});

rule!(a_payload_that_is_not_given_is_no_conflict, |w| {
    let a = record("e1", 100);
    let bare = Delivery { payload: PayloadHash::NONE, ..a.clone() };
    let grant = w.grant("w1", &bare).await;
    w.complete("w1", &grant).await;
    assert_eq!(cause_of(&w.claim(&terms("w1"), &a).await), Some(Redelivery));
});

rule!(a_takeover_comes_only_after_the_lease_has_lapsed, |w| {
    let a = record("e1", 100);
    w.grant("w1", &a).await;
    w.pass(14.999);
    assert_eq!(w.claim(&terms("w2"), &a).await, Claim::Busy { wait: Duration::from_millis(1), owner: owner("w1") });
    w.pass(0.001);
    assert_eq!(granted(&w.claim(&terms("w2"), &a).await), Some((2, GrantKind::Takeover)));
    let books = w.books().await;
    assert_eq!((books.counters.superseded, books.in_flight()), (1, 1));
});

rule!(a_living_owner_extends_its_lease_and_a_stranger_does_not, |w| {
    let a = record("e1", 100);
    let grant = w.grant("w1", &a).await;
    w.pass(16.0);
    let stranger = Grant { fence: FencingToken::new(grant.fence.get() + 1), ..grant.clone() };
    let unknown = Grant { event: EventKey::new("/shop", "other"), ..grant.clone() };
    let lease = Duration::from_secs(10);
    let all = [grant, stranger, unknown];
    assert_eq!(
        w.store.extend(w.at(), lease, &all).await.unwrap(),
        [Touch::Done, Touch::Fenced, Touch::Gone],
        "also a lapsed one that nobody took"
    );
    assert_eq!(w.claim(&terms("w2"), &a).await, Claim::Busy { wait: lease, owner: owner("w1") });
});

rule!(handing_back_at_a_rebalance_does_not_count_against_the_retry_bound, |w| {
    let a = record("e1", 100);
    for _ in 0..3 {
        let grant = w.grant("w1", &a).await;
        assert_eq!(w.release(ReleaseReason::HandedBack, 0, &grant).await, Touch::Done);
    }
    assert_eq!(granted(&w.claim(&terms("w2"), &a).await), Some((1, GrantKind::Retry)));
    let counters = w.books().await.counters;
    assert_eq!((counters.released, counters.handed_back), (3, 3));
});

rule!(a_grant_that_was_given_back_can_no_longer_be_finished, |w| {
    for reason in [ReleaseReason::Failed, ReleaseReason::HandedBack] {
        let a = record(&format!("{reason:?}"), 100);
        let grant = w.grant("w1", &a).await;
        w.release(reason, 0, &grant).await;
        assert_eq!(w.complete("w1", &grant).await, Finish::Fenced);
        assert_eq!(w.commit("w1", &grant, 0, change("o1", &[])).await, Commit::Fenced);
        assert!(granted(&w.claim(&terms("w2"), &a).await).is_some(), "it is still to be done");
    }
});

rule!(a_failed_release_counts_and_is_not_granted_before_its_delay_is_over, |w| {
    let a = record("e1", 100);
    let grant = w.grant("w1", &a).await;
    assert_eq!(w.release(ReleaseReason::Failed, 5, &grant).await, Touch::Done);
    assert_eq!(w.release(ReleaseReason::Failed, 5, &grant).await, Touch::Again);
    w.pass(2.0);
    assert_eq!(w.claim(&terms("w1"), &a).await, Claim::NotYet { wait: Duration::from_secs(3) });
    w.pass(3.0);
    assert_eq!(granted(&w.claim(&terms("w1"), &a).await), Some((2, GrantKind::Retry)));
    let counters = w.books().await.counters;
    assert_eq!((counters.released, counters.handed_back, counters.not_yet), (1, 0, 1));
});

rule!(what_was_given_up_is_dead_until_somebody_redrives_it, |w| {
    let a = record("e1", 100);
    let grant = w.grant("w1", &a).await;
    assert_eq!(w.fail("w1", &grant).await, Finish::Done);
    assert_eq!(cause_of(&w.claim(&terms("w1"), &a).await), Some(Dead));
    assert_eq!(cause_of(&w.claim(&with_intent("w1", Intent::Replay), &a).await), Some(Dead));
    let copy = record("e1", 7);
    let redriven = w.claim(&with_intent("w1", Intent::Redrive), &copy).await;
    let Claim::Granted { fence, attempt: 1, how: GrantKind::Redrive } = redriven else { panic!("{redriven:?}") };
    assert_eq!(w.complete("w1", &Grant::of(&copy, fence)).await, Finish::Done);
    assert_eq!(cause_of(&w.claim(&with_intent("w1", Intent::Redrive), &copy).await), Some(Replay));
    assert_eq!((w.duplicates(Dead, Suppressed).await, w.books().await.counters.failed), (2, 1));
});

rule!(a_redriven_record_that_is_given_up_again_is_dead_until_another_copy_of_it_is_sent, |w| {
    let redrive = with_intent("w1", Intent::Redrive);
    let grant = w.grant("w1", &record("e1", 100)).await;
    w.fail("w1", &grant).await;
    for copy in [record("e1", 107), record("e1", 108)] {
        let redriven = w.claim(&redrive, &copy).await;
        let Claim::Granted { fence, how: GrantKind::Redrive, .. } = redriven else { panic!("{redriven:?}") };
        assert_eq!(w.fail("w1", &Grant::of(&copy, fence)).await, Finish::Done);
        for _ in 0..2 {
            assert_eq!(cause_of(&w.claim(&redrive, &copy).await), Some(Dead), "the same record again");
        }
    }
    let books = w.books().await.counters;
    assert_eq!((books.granted_total(), books.failed, books.duplicates_of(Dead, Suppressed)), (3, 3, 4));
});

rule!(a_fenced_completion_counts_as_executed_twice_with_both_owners, |w| {
    let a = record("e1", 100);
    let first = w.grant("w1", &a).await;
    w.pass(15.0);
    let second = w.grant("w2", &a).await;
    assert_eq!(w.complete("w1", &first).await, Finish::Fenced, "while the second works");
    assert_eq!(w.complete("w2", &second).await, Finish::Done);
    assert_eq!(w.complete("w1", &first).await, Finish::Fenced, "after the second has ended");
    assert_eq!(w.complete("w2", &second).await, Finish::Again);
    assert_eq!(w.duplicates(Concurrent, Executed).await, 2);
    assert_eq!(w.books().await.counters.fenced, 2);
    let recent = w.store.recent_duplicates(&w.entry(), 10).await.unwrap();
    let seen: Vec<_> = recent.iter().map(|r| (r.event_id.as_str(), r.owner.as_str(), r.first_owner.as_deref())).collect();
    assert_eq!(seen, [("e1", "w1", Some("w2")), ("e1", "w1", Some("w2"))]);
});

rule!(a_fenced_commit_or_failure_changes_no_duplicate_counter, |w| {
    let a = record("e1", 100);
    let first = w.grant("w1", &a).await;
    w.pass(15.0);
    w.grant("w2", &a).await;
    assert_eq!(w.fail("w1", &first).await, Finish::Fenced);
    assert_eq!(w.commit("w1", &first, 0, change("o1", &["PAID"])).await, Commit::Fenced);
    assert_eq!((w.all_duplicates().await, w.books().await.counters.fenced), (0, 2));
    assert_eq!(w.store.state(w.at(), "o1").await.unwrap(), None, "it wrote nothing");
    assert_eq!(w.store.outbox_stats(w.at()).await.unwrap().entries, 0);
});

rule!(the_completion_of_an_unknown_event_is_written_and_stands_outside_the_books, |w| {
    let a = record("e1", 100);
    let grant = Grant::of(&a, FencingToken::new(1_999_999_999_000_000));
    assert_eq!(w.complete("w1", &grant).await, Finish::Orphan);
    assert_eq!(w.complete("w1", &grant).await, Finish::Again);
    assert_eq!(cause_of(&w.claim(&terms("w1"), &a).await), Some(Redelivery));
    let counters = w.books().await.counters;
    assert_eq!((counters.orphans, counters.completed, counters.granted_total()), (1, 0, 0));
});

rule!(a_report_that_the_work_was_done_again_is_an_execution, |w| {
    let a = record("e1", 100);
    assert!(matches!(w.seen("w1", Report::Executed, &a).await, Seen::Recorded { how: GrantKind::First, .. }));
    assert!(matches!(w.seen("w1", Report::Executed, &a).await, Seen::Duplicate { cause: Redelivery, .. }));
    assert!(matches!(w.seen("w1", Report::Skipped, &a).await, Seen::Duplicate { cause: Redelivery, .. }));
    let (executed, suppressed) = (w.duplicates(Redelivery, Executed).await, w.duplicates(Redelivery, Suppressed).await);
    assert_eq!((executed, suppressed, w.all_duplicates().await), (1, 1, 2));
});

rule!(a_restore_is_never_a_duplicate, |w| {
    let a = record("e1", 100);
    let Seen::Recorded { fence, .. } = w.seen("w1", Report::Restore, &a).await else { panic!("not recorded") };
    let other = Delivery { payload: PayloadHash::of(b"b"), ..record("e1", 177) };
    for delivery in [&a, &other] {
        assert_eq!(w.seen("w1", Report::Restore, delivery).await, Seen::Known { first_at: fence.granted_at() });
    }
    assert_eq!(w.all_duplicates().await, 0);
    assert_eq!(cause_of(&w.claim(&terms("w1"), &a).await), Some(Redelivery), "what was restored is remembered");
});

rule!(the_same_id_twice_in_a_call_is_busy_with_ones_own_name, |w| {
    let batch = [record("e1", 100), record("e2", 101), record("e1", 102)];
    let replies = w.store.claim(w.at(), &terms("w1"), &batch).await.unwrap();
    assert_eq!(granted(&replies[0]), Some((1, GrantKind::First)));
    assert_eq!(granted(&replies[1]), Some((1, GrantKind::First)));
    assert_eq!(replies[2], Claim::Busy { wait: Duration::from_secs(15), owner: owner("w1") });
    let seen = w.store.seen(w.at(), &terms("w1"), Report::Executed, &[record("e3", 1), record("e3", 2)]).await;
    assert!(matches!(seen.unwrap()[1], Seen::Duplicate { cause: Republish, .. }));
});

rule!(fences_rise_and_are_the_time_of_the_grant, |w| {
    let batch: Vec<Delivery> = (0..5).map(|n| record(&format!("e{n}"), n)).collect();
    let replies = w.store.claim(w.at(), &terms("w1"), &batch).await.unwrap();
    let start = u64::try_from(START_S).unwrap() * 1_000_000;
    for (n, reply) in (0..).zip(&replies) {
        assert!(matches!(reply, Claim::Granted { fence, .. } if fence.get() == start + n), "{reply:?}");
    }
});

rule!(a_clock_that_stepped_back_a_little_stands_still_and_one_far_behind_fails_closed, |w| {
    let a = record("e1", 100);
    let grant = w.grant("w1", &a).await;
    w.pass(-60.0);
    let next = w.grant("w1", &record("e2", 101)).await;
    assert!(next.fence > grant.fence);
    w.pass(-0.001);
    let one = std::slice::from_ref(&grant);
    assert_eq!(w.store.claim(w.at(), &terms("w1"), &[record("e3", 102)]).await, Err(StoreError::Clock));
    assert_eq!(w.store.complete(w.at(), &owner("w1"), one).await, Err(StoreError::Clock));
    assert_eq!(w.store.extend(w.at(), WINDOW, one).await, Err(StoreError::Clock));
    assert_eq!(StoreError::Clock.remedy(), Remedy::FailClosed);
    w.pass(0.002);
    assert_eq!(w.complete("w1", &grant).await, Finish::Done);
});

rule!(an_id_found_in_the_older_generation_is_late_and_two_windows_later_it_is_forgotten, |w| {
    let (a, b) = (record("e1", 100), record("e2", 101));
    let grant = w.grant("w1", &a).await;
    w.complete("w1", &grant).await;
    assert_eq!(w.books().await.remembered_ids, 1);
    w.pass(1_000.0);
    assert!(matches!(w.claim(&terms("w1"), &a).await, Claim::Duplicate { late: true, .. }));
    assert_eq!((w.books().await.counters.late, w.books().await.remembered_ids), (1, 1));
    let grant = w.grant("w1", &b).await;
    w.complete("w1", &grant).await;
    assert_eq!(w.books().await.remembered_ids, 2);
    w.pass(1_000.0);
    assert_eq!(w.books().await.remembered_ids, 1);
    assert_eq!(granted(&w.claim(&terms("w1"), &a).await), Some((1, GrantKind::First)));
});

rule!(repeats_are_counted_by_the_time_since_the_first_grant, |w| {
    let a = record("e1", 100);
    let grant = w.grant("w1", &a).await;
    w.complete("w1", &grant).await;
    // The bounds of a window of 1,000 s: 1, 10, 60, 500, 600, 800, 1000, 3600 and 86400 s.
    for seconds in [1.0, 0.001, 498.999, 0.001] {
        w.pass(seconds);
        w.claim(&terms("w1"), &a).await;
    }
    assert_eq!(w.books().await.counters.gaps, [1, 1, 0, 1, 1, 0, 0, 0, 0, 0]);
});

rule!(a_call_notes_at_most_sixteen_duplicates_and_counts_them_all, |w| {
    let batch: Vec<Delivery> = (0..20).map(|n| record(&format!("e{n}"), n)).collect();
    w.store.seen(w.at(), &terms("w1"), Report::Executed, &batch).await.unwrap();
    w.store.claim(w.at(), &terms("w1"), &batch).await.unwrap();
    assert_eq!(w.duplicates(Redelivery, Suppressed).await, 20);
    assert_eq!(w.store.recent_duplicates(&w.entry(), 100).await.unwrap().len(), 16);
});

rule!(common_redeliveries_cannot_push_out_what_was_executed_twice, |w| {
    let a = record("e1", 100);
    w.seen("w1", Report::Executed, &a).await;
    w.seen("w2", Report::Executed, &a).await;
    let other = Delivery { payload: PayloadHash::of(b"b"), ..a.clone() };
    w.claim(&terms("w3"), &other).await;
    let batch = vec![a; 16];
    for _ in 0..150 {
        w.store.claim(w.at(), &terms("w1"), &batch).await.unwrap();
    }
    let recent = w.store.recent_duplicates(&w.entry(), 2_000).await.unwrap();
    assert!((1_000..1_200).contains(&recent.len()), "{}", recent.len());
    let kept: Vec<_> = recent.iter().filter(|r| r.is_incident()).map(|r| (r.cause, r.outcome)).collect();
    assert_eq!(kept.len(), 2);
    assert!(kept.contains(&(Redelivery, Executed)) && kept.contains(&(Conflict, Suppressed)));
});

rule!(an_event_carries_a_passport_through_its_states, |w| {
    let a = record("e1", 100);
    let digest = a.event.digest();
    let passport = async || {
        let shard = Some(ShardNumber::new(0));
        let here = w.store.passport(&w.ledger, shard, digest).await.unwrap();
        assert_eq!(here, w.store.passport(&w.ledger, None, digest).await.unwrap());
        here.into_iter().next().map(|found| (found.state, found.place))
    };
    assert_eq!(passport().await, None);
    let grant = w.grant("w1", &a).await;
    let lease_end = grant.fence.granted_at() + Duration::from_secs(15);
    let held = PassportState::InFlight { owner: owner("w1"), attempt: 1, lease_end };
    assert_eq!(passport().await, Some((held, a.place)));
    w.release(ReleaseReason::Failed, 0, &grant).await;
    assert!(matches!(passport().await, Some((PassportState::Waiting { attempt: 1, .. }, _))));
    let grant = w.grant("w1", &a).await;
    w.complete("w1", &grant).await;
    assert_eq!(passport().await, Some((PassportState::Completed { late: false }, a.place)));
    w.pass(1_000.0);
    let late = w.store.passport(&w.ledger, None, digest).await.unwrap();
    assert_eq!(late[0].state, PassportState::Completed { late: true });
    w.pass(1_000.0);
    assert_eq!(w.store.passport(&w.ledger, None, digest).await.unwrap(), []);
});

rule!(many_passports_at_once_are_those_of_each_and_a_shard_that_forgot_says_so, |w| {
    let all: Vec<Delivery> = (0..7).map(|number| record(&format!("e{number}"), number)).collect();
    let grants = [w.grant("w1", &all[0]).await, w.grant("w1", &all[2]).await, w.grant("w1", &all[5]).await];
    w.complete("w1", &grants[0]).await;
    w.release(ReleaseReason::Failed, 0, &grants[1]).await;
    let digests: Vec<EventDigest> = all.iter().map(|record| record.event.digest()).collect();
    let at = At::new(&w.ledger, ShardNumber::new(0));
    let found = w.store.passports(at, &digests).await.unwrap();
    for (digest, found) in digests.iter().zip(&found) {
        let alone = w.store.passport(&w.ledger, Some(ShardNumber::new(0)), *digest).await.unwrap();
        assert_eq!(*found, alone.into_iter().next());
    }
    let known: Vec<Option<PayloadHash>> = found.iter().map(|passport| Some(passport.as_ref()?.payload)).collect();
    let payload = |index: usize| Some(all[index].payload);
    assert_eq!(known, [payload(0), None, payload(2), None, None, payload(5), None]);
    assert_eq!(w.store.passports(at, &[]).await.unwrap(), []);
    let other = Incarnation::new(uuid::Uuid::new_v4(), w.ledger.shape());
    let other = Ledger { incarnation: other, ..w.ledger.clone() };
    let forgot = w.store.passports(At::new(&other, ShardNumber::new(0)), &digests).await;
    assert!(matches!(forgot, Err(StoreError::Amnesia { .. })), "{forgot:?}");
});

rule!(a_ledger_exists_only_after_init_and_another_incarnation_is_amnesia, |w| {
    let unknown = LedgerName::new(Namespace::new("shop").unwrap(), "group with spaces");
    assert_eq!(w.store.open(&unknown).await.unwrap(), None);
    assert_eq!(w.store.open(&w.ledger.name).await.unwrap().as_ref(), Some(&w.ledger));
    let init = w.store.init(&w.ledger.name, shape(7)).await.unwrap();
    assert_eq!(init, Init::Exists(w.ledger.clone()), "the shape of the first creation stays");
    created(w.store.init(&unknown, shape(2)).await.unwrap());
    let names: Vec<_> = w.store.ledgers(&unknown.namespace).await.unwrap();
    assert_eq!(
        names.iter().map(|e| (&*e.name.group, e.shards)).collect::<Vec<_>>(),
        [("group with spaces", 2), ("orders", 1)]
    );
    // Shards, buckets and window are part of the incarnation.
    let id = w.ledger.incarnation.as_str().split('.').next().unwrap().parse().unwrap();
    let shapes = [(2, 4, WINDOW), (1, 5, WINDOW), (1, 4, 2 * WINDOW)];
    for (shards, buckets, window) in shapes {
        let other = Incarnation::new(id, Shape::new(shards, buckets, window).unwrap());
        let ledger = Ledger { name: w.ledger.name.clone(), incarnation: other.clone() };
        let at = At::new(&ledger, ShardNumber::new(0));
        let expected = StoreError::Amnesia { expected: other.to_string(), found: Some(w.ledger.incarnation.to_string()) };
        assert_eq!(w.store.claim(at, &terms("w1"), &[record("e1", 1)]).await, Err(expected.clone()));
        assert_eq!(w.store.state(at, "o1").await, Err(expected.clone()));
        assert_eq!(w.store.stats(at).await, Err(expected.clone()));
        assert_eq!(expected.remedy(), Remedy::FailClosed);
    }
    assert_eq!(w.books().await.counters, Counters::default());
});

rule!(a_topic_gets_its_number_once, |w| {
    let (shop, other) = (Namespace::new("shop").unwrap(), Namespace::new("other").unwrap());
    let number = async |namespace: &Namespace, topic: &str| w.store.topic_number(namespace, topic).await.unwrap().get();
    assert_eq!(number(&shop, "orders").await, 1);
    assert_eq!(number(&shop, "payments").await, 2);
    assert_eq!(number(&shop, "orders").await, 1);
    assert_eq!(number(&other, "payments").await, 1);
    let topics = w.store.topics(&shop).await.unwrap();
    assert_eq!(topics.into_values().collect::<Vec<_>>(), ["orders", "payments"]);
});

rule!(a_call_without_events_or_with_too_many_is_refused, |w| {
    let many: Vec<Delivery> = (0..1_001).map(|n| record("e", n)).collect();
    for deliveries in [&many[..], &[]] {
        let refused = w.store.claim(w.at(), &terms("w1"), deliveries).await.unwrap_err();
        assert_eq!(refused.remedy(), Remedy::Fix, "{refused}");
    }
    let full: Vec<Delivery> = (0..1_000).map(|n| record(&format!("e{n}"), n)).collect();
    assert_eq!(w.store.claim(w.at(), &terms("w1"), &full).await.unwrap().len(), 1_000);
    let grants: Vec<Grant> = full.iter().map(|d| Grant::of(d, FencingToken::new(1))).collect();
    assert_eq!(w.store.complete(w.at(), &owner("w1"), &grants).await.unwrap(), vec![Finish::Fenced; 1_000]);
});

rule!(names_with_quotes_newlines_and_nul_are_kept_for_people, |w| {
    let odd = Delivery { event: EventKey::new("/shop \"x\"", "a\nb\0c<é>"), ..record("", 1) };
    w.seen("w 1", Report::Executed, &odd).await;
    w.claim(&terms("w 2"), &odd).await;
    let recent = w.store.recent_duplicates(&w.entry(), 10).await.unwrap();
    assert_eq!((&*recent[0].event_id, &*recent[0].source, &*recent[0].owner), ("a\nbc<é>", "/shop \"x\"", "w 2"));
    let held = record("h", 2);
    w.grant("w 1", &held).await;
    assert!(matches!(w.claim(&terms("w2"), &held).await, Claim::Busy { owner, .. } if owner.as_str() == "w 1"));
});
