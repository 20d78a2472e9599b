//! A story, minute by minute, in which every built-in alert has its subject.

use super::*;

/// A view for each minute in which every built-in alert has its subject, beside subjects that must not alert.
pub(super) fn story(minute: i64) -> View {
    let now = at(60 * minute);
    let during = |from: i64, to: i64| (from..to).contains(&minute);
    let mut groups = lag_groups(minute);
    groups.extend(quiet_groups());
    groups.sort_by(|a, b| a.id.cmp(&b.id));
    let mut main = fixture::cluster("main", now, groups);
    main.ledger = Some(Arc::new(books(minute)));
    let mut orders = fixture::topic("orders", 2);
    // One that is within its own timeout is only long.
    orders.partitions[1].open_transaction_age = Some(Duration::from_secs(3_600));
    let open = |partition, hung| TransactionView {
        partition,
        transaction: Reading::Unknown(UnknownReason::NotAuthorized),
        age: Duration::from_secs(3_600),
        held_back: 1,
        hung,
    };
    orders.transactions = vec![open(0, during(5, 30)), open(1, false)];
    let long = TopicView {
        retention: Reading::Known(Retention::Time(Duration::from_secs(14 * 86_400))),
        ..fixture::topic("long", 1)
    };
    let kept =
        |name: &str, retention| Arc::new(TopicView { retention: Reading::Known(retention), ..fixture::topic(name, 1) });
    let (compacted, endless) = (kept("compacted", Retention::Compacted), kept("endless", Retention::Forever));
    let denied = Reading::Unknown(UnknownReason::NotAuthorized);
    let hidden = Arc::new(TopicView { retention: denied, ..fixture::topic("hidden", 1) });
    main.topics = vec![compacted, endless, hidden, Arc::new(long), Arc::new(orders)];
    main.topics.extend(letter_topics(minute));

    let mut broken = fixture::cluster("broken", now, Vec::new());
    if minute >= 2 {
        let failure = CollectionFailure { reason: "unreachable", message: "refused".to_owned(), since: at(120) };
        broken.last_result = Some(Err(failure));
        broken.collected_at = Some(at(60));
    }
    let down = LedgerView {
        last_result: if during(4, 20) { Err("refused".to_owned()) } else { Ok(()) },
        ..ledger(now, Vec::new())
    };
    broken.ledger = Some(Arc::new(down));

    let mut partial = fixture::cluster("partial", now, vec![group("a"), group("b"), group("c")]);
    (Arc::make_mut(&mut partial.groups[0]).unknown_partitions, partial.ledger) = (usize::from(during(5, 25)), None);

    let mut never = fixture::cluster("never", now, Vec::new());
    (never.last_result, never.collected_at, never.ledger) = (None, None, None);
    View { clusters: vec![Arc::new(main), Arc::new(broken), Arc::new(partial), Arc::new(never)], ..fixture::empty_view(now) }
}

/// Dead-letter topics, sorted: one that gets letters, one that is made with some in it, and two that tell nothing new.
fn letter_topics(minute: i64) -> impl Iterator<Item = Arc<TopicView>> {
    let step = |from: i64, count: u64| if minute >= from { count } else { 0 };
    let unread = || Reading::Unknown(UnknownReason::NoLeader);
    let born = (minute >= 12).then_some(("orders.down.dlt", Reading::Known(2)));
    let topics = [
        born,
        Some(("orders.many.dlt", Reading::Known(3 + step(10, 2)))),
        Some(("orders.ok-drained.dlt", Reading::Known(9 - step(20, 5)))),
        Some(("orders.ok-steady.dlt", if (15..20).contains(&minute) { unread() } else { Reading::Known(4) })),
    ];
    let topic = |(name, letters)| Arc::new(TopicView { retained_messages: letters, ..fixture::topic(name, 1) });
    topics.into_iter().flatten().map(topic)
}

fn lag_groups(minute: i64) -> Vec<GroupView> {
    let during = |from: i64, to: i64| (from..to).contains(&minute);
    let behind = |id: &str, status: Status, first: PartitionView| {
        reading(GroupView { status, ..group(id) }, vec![("orders", vec![first, pair(1, Some(5), 5)])])
    };
    let judged = |id: &str, status: Status, lag: u64, active: bool| {
        behind(id, if active { status } else { Status::Ok }, pair(0, Some(1_000_000 - lag), 1_000_000))
    };
    let lag_of = |active: bool, lag: u64| if active { lag } else { 10 };
    let mut slow = judged("slow", Status::FallingBehind, 500, during(2, 40));
    slow.topics[0].drain_time = DrainTime::new(Drain::Never);
    // For who stands still the estimate is no news; once it moves again, it is.
    let mut stuck = judged("stuck", Status::Stalled, 1_200, during(5, 22));
    stuck.topics[0].drain_time = DrainTime::new(Drain::Never);
    let time_lag = if during(5, 25) { aged(90) } else { aged(3) };
    let late = behind("late", Status::Ok, PartitionView { time_lag, ..pair(0, Some(999_960), 1_000_000) });
    let mut bounded = judged("bounded", Status::Ok, 40, true);
    if during(5, 25) {
        (bounded.topics[0].age, bounded.topics[0].knows_ages) = (None, false);
        bounded.time_lag_at_least = Some(Duration::from_secs(95));
    }
    let mut risky = judged("risky", Status::Ok, 40, true);
    risky.topics[0].risk = Some(Risk::new(if during(5, 25) { 0.9 } else { 0.3 }));
    let mut lost = judged("lost", Status::Ok, 0, true);
    lost.topics[0].troubles.get_or_insert_default().lost_total = if minute >= 10 { 7 } else { 0 };
    let mut expired = judged("expired", Status::Ok, 0, true);
    expired.topics[0].troubles.get_or_insert_default().expired = Some(if during(5, 15) { 20 } else { 0 });
    let mut unread = if during(12, 22) {
        let unread = reading(group("loss-unread"), vec![("orders", vec![fixture::unknown_pair(0)])]);
        GroupView { unknown_partitions: 1, ..unread }
    } else {
        judged("loss-unread", Status::Ok, 0, true)
    };
    let lost_unread = if during(5, 22) { 20 } else { 0 };
    unread.topics[0].troubles.get_or_insert_default().expired = (!during(12, 22)).then_some(lost_unread);
    let mut beyond = judged("beyond", Status::Unknown, 0, true);
    beyond.topics[0].troubles.get_or_insert_default().beyond_end = during(5, 25).then_some(75);
    let mut storm = judged("storm", Status::Ok, 0, true);
    storm.rebalances_total = if minute < 30 { minute as u64 } else { 30 };
    let mut rewound = judged("rewound", Status::Ok, 0, true);
    rewound.topics[0].troubles.get_or_insert_default().rewound_total = if minute >= 10 { 100 } else { 0 };
    vec![
        judged("many", Status::Ok, lag_of(during(5, 20), 1_200), true),
        judged("far-too-many", Status::Ok, lag_of(during(5, 30), 12_000), true),
        judged("stalled", Status::Stalled, 40, during(5, 25)),
        judged("down", Status::NoMembers, 3, during(5, 25)),
        slow,
        stuck,
        late,
        bounded,
        risky,
        lost,
        expired,
        unread,
        beyond,
        storm,
        rewound,
    ]
}

fn quiet_groups() -> Vec<GroupView> {
    let with = |id: &str, topic: &str, pairs: Vec<PartitionView>| reading(group(id), vec![(topic, pairs)]);
    let mut unsubscribed = with("ok-unsubscribed", "orders", vec![pair(0, Some(1), 90_000)]);
    unsubscribed.topics[0].unsubscribed = true;
    unsubscribed.topics[0].troubles.get_or_insert_default().expired = Some(5);
    unsubscribed.topics[0].risk = Some(Risk::new(0.99));
    let mut drained = with("ok-drained", "orders", vec![pair(0, Some(5), 5)]);
    drained.status = Status::NoMembers;
    let mut steady = with("ok-steady", "orders", vec![pair(0, Some(5), 9)]);
    steady.topics[0].drain_time = DrainTime::new(Drain::Never);
    vec![
        drained,
        steady,
        unsubscribed,
        with("ok-uncommitted", "orders", vec![pair(0, None, 90_000)]),
        with("ok-unknown", "orders", vec![fixture::unknown_pair(0)]),
        reading(
            group("reader"),
            ["compacted", "endless", "hidden", "long"].map(|topic| (topic, vec![pair(0, Some(5), 5)])).to_vec(),
        ),
    ]
}

fn books(minute: i64) -> LedgerView {
    let during = |from: i64, to: i64| (from..to).contains(&minute);
    let step = |from: i64, count: u64| if minute >= from { count } else { 0 };
    let minute_u = minute as u64;
    let mut executed = ledger_group("executed");
    executed.duplicates[DuplicateCause::Concurrent as usize][1] = 8 + step(10, 1);
    let mut conflict = ledger_group("conflict");
    conflict.duplicates[DuplicateCause::Conflict as usize][0] = 3 + step(11, 2);
    let mut back = ledger_group("ok-step-back");
    back.duplicates[DuplicateCause::Replay as usize][1] = 8 - step(10, 1);
    let mut often = ledger_group("often");
    often.duplicates[DuplicateCause::Redelivery as usize][0] = 20 * minute_u;
    often.granted_first = 1_000 * minute_u;
    let mut near = ledger_group("near-the-end");
    near.window = Duration::from_secs(1_000);
    near.gap_buckets = vec![(500.0, 0), (800.0, 0), (1_000.0, minute_u), (f64::INFINITY, minute_u)];
    let mut unbalanced = ledger_group("unbalanced");
    unbalanced.imbalance = if during(5, 25) { -2 } else { 0 };
    let mut torn = ledger_group("ok-torn-read");
    torn.imbalance = i64::from(minute == 12);
    let mut overdue = ledger_group("overdue");
    overdue.overdue = Duration::from_secs(if during(5, 25) { 60 * minute_u } else { 0 });
    let mut calls = ledger_group("lost-calls");
    calls.lost_calls = step(10, 2);
    let mut outbox = ledger_group("outbox");
    outbox.outbox_oldest = Duration::from_secs(if during(5, 25) { 60 * minute_u } else { 0 });
    let mut forgot = ledger_group("forgot");
    forgot.state = if during(5, 15) { Err("emptied".to_owned()) } else { Ok(()) };
    let (mut clock, mut slack, reader) = (ledger_group("clock"), ledger_group("ok-slack"), ledger_group("reader"));
    (clock.clock_behind, slack.clock_behind) = (CLOCK_SLACK * if during(5, 25) { 2 } else { 0 }, CLOCK_SLACK);
    let groups =
        vec![executed, conflict, back, often, near, unbalanced, torn, overdue, calls, outbox, forgot, clock, slack, reader];
    let mut ledger = ledger(at(60 * minute), groups);
    ledger.saga.stuck_by_step = BTreeMap::from([("payment".to_owned(), if during(5, 30) { 2 } else { 0 })]);
    ledger.saga.by_state[SagaState::NeedsHuman as usize] = Some(u64::from(during(5, 30)));
    ledger
}
