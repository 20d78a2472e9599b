//! Alerts about duplicates, the ledger that counts them, and the services' outboxes and sagas.

use super::{CRITICAL, Definition, Needs, RuleGroup, WARNING, minutes};
use crate::monitor::alerts::predicates::ledger as when;
use std::time::Duration;

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "DuplicateProcessing",
        group: RuleGroup::Idempotency,
        hold: Duration::ZERO,
        severity: CRITICAL,
        condition: "An event was executed again within the last 5 minutes.",
        promql: "sum by (cluster_name, group, cause)\n\
                 (cluster_name_group_cause_outcome:tidemark_event_duplicates:delta5m{outcome=\"executed\"} > 0)",
        why: "",
        summary: "{group} processed the same event twice ({cause})",
        description: "{value} events of {cluster_name} had their side effects executed again in 5 minutes.",
        needs: Needs::Nothing,
        predicate: Some(when::duplicate_processing),
    },
    Definition {
        name: "DuplicateDeliveryRatioHigh",
        group: RuleGroup::Idempotency,
        hold: minutes(10),
        severity: WARNING,
        condition: "More than 1 in 100 deliveries of the last 5 minutes repeat an event id.",
        promql: "cluster_name_group:tidemark_event_duplicates_per_events_reported:ratio_rate5m > 0.01",
        why: "0.01: rebalances and restarts repeat a few records; more than 1 in 100 for 10 minutes has another cause.",
        summary: "{group} is handed many events twice",
        description: "{value|percent} of the deliveries on {cluster_name} repeat an event ID.",
        needs: Needs::Nothing,
        predicate: Some(when::duplicate_ratio_high),
    },
    Definition {
        name: "EventIdConflict",
        group: RuleGroup::Idempotency,
        hold: Duration::ZERO,
        severity: CRITICAL,
        condition: "One event id came with two different payloads within the last 5 minutes.",
        promql: "sum by (cluster_name, group)\n\
                 (cluster_name_group_cause_outcome:tidemark_event_duplicates:delta5m{cause=\"conflict\"} > 0)",
        why: "",
        summary: "One event ID with two different payloads at {group}",
        description: "{value} in 5 minutes on {cluster_name}: the producer reuses IDs or changes a payload on retry.",
        needs: Needs::Nothing,
        predicate: Some(when::event_id_conflict),
    },
    Definition {
        name: "LedgerWindowNearlyExceeded",
        group: RuleGroup::Idempotency,
        hold: minutes(30),
        severity: WARNING,
        condition: "1 in 100 repeats of the last 6 hours came after four fifths of the time for which ids are remembered.",
        promql: "histogram_quantile(0.99, max by (cluster_name, group, le) (rate(tidemark_event_duplicate_gap_seconds_bucket[6h])))\n\
                 > on (cluster_name, group) 0.8 * min by (cluster_name, group) (tidemark_ledger_window_seconds)",
        why: "0.8 of the window is a bound of the histogram: the quantile exceeds it only if repeats really are that late.",
        summary: "Repeats of {group} come close to the end of the ledger's window",
        description: "The 99th percentile of the gap between repeats on {cluster_name} is {value|duration}.",
        needs: Needs::Nothing,
        predicate: Some(when::window_nearly_exceeded),
    },
    Definition {
        name: "LedgerWindowShorterThanRetention",
        group: RuleGroup::Idempotency,
        hold: minutes(10),
        severity: WARNING,
        condition: "A topic keeps records for longer than the group's ledger remembers their ids.",
        promql: "max by (cluster_name, topic) (tidemark_topic_retention_seconds < Inf)\n\
                 * on (cluster_name, topic) group_right ()\n\
                 group by (cluster_name, group, topic) (tidemark_group_consumed_messages_total)\n\
                 > on (cluster_name, group) group_left ()\n\
                 min by (cluster_name, group) (tidemark_ledger_window_seconds)",
        why: "For every topic that a group with a ledger reads. What is kept for ever (+Inf) has an alert of its own: no window is long enough.",
        summary: "{topic} keeps records longer than the ledger of {group} remembers them",
        description: "Retention on {cluster_name} is {value|duration}: a replay of older records than the window would execute them again.",
        needs: Needs::Nothing,
        predicate: Some(when::window_shorter_than_retention),
    },
    Definition {
        name: "LedgerWindowCannotCover",
        group: RuleGroup::Idempotency,
        hold: minutes(10),
        severity: WARNING,
        condition: "A topic keeps records for ever (unlimited retention, or compaction alone), and the group's ledger forgets their ids.",
        promql: "max by (cluster_name, topic) (tidemark_topic_retention_seconds == Inf)\n\
                 * on (cluster_name, topic) group_right ()\n\
                 group by (cluster_name, group, topic) (tidemark_group_consumed_messages_total)\n\
                 and on (cluster_name, group)\n\
                 min by (cluster_name, group) (tidemark_ledger_window_seconds)",
        why: "Inf: what the metric says of unlimited retention and of compaction alone.",
        summary: "{topic} keeps records for ever, the ledger of {group} does not",
        description: "No window covers it on {cluster_name}: a replay of records that are older than the window would execute them again.",
        needs: Needs::Nothing,
        predicate: Some(when::window_cannot_cover),
    },
    Definition {
        name: "LedgerDown",
        group: RuleGroup::Idempotency,
        hold: minutes(1),
        severity: CRITICAL,
        condition: "The ledger cannot be read.",
        promql: "max by (cluster_name) (tidemark_ledger_up) == 0",
        why: "",
        summary: "The ledger of {cluster_name} does not answer",
        description: "Consumers that need it pause, and duplicates can be neither seen nor suppressed.",
        needs: Needs::Nothing,
        predicate: Some(when::ledger_down),
    },
    Definition {
        name: "LedgerForgot",
        group: RuleGroup::Idempotency,
        hold: minutes(1),
        severity: CRITICAL,
        condition: "The ledger answers, but without the group's books: it was emptied or replaced, or they cannot be read.",
        promql: "max by (cluster_name, group) (tidemark_ledger_intact) == 0",
        why: "1m: books that one reading did not get are there in the next; a loss stays.",
        summary: "The ledger of {group} lost its memory",
        description: "The store of {cluster_name} was emptied or replaced, or the books cannot be read: consumers stop until somebody decides.",
        needs: Needs::Nothing,
        predicate: Some(when::ledger_forgot),
    },
    Definition {
        name: "LedgerClockBehind",
        group: RuleGroup::Idempotency,
        hold: minutes(1),
        severity: CRITICAL,
        condition: "The last grant lies more than a minute ahead: the clock of the ledger's store fell back.",
        promql: "max by (cluster_name, group) (tidemark_ledger_clock_behind_seconds) > 60",
        why: "60: by its own clock the store refuses every call above that.",
        summary: "The clock of the ledger of {group} fell back",
        description: "Its last grant lies {value|duration} ahead on {cluster_name}: every call is refused and its consumers stand still.",
        needs: Needs::Nothing,
        predicate: Some(when::clock_behind),
    },
    Definition {
        name: "LedgerImbalance",
        group: RuleGroup::Idempotency,
        hold: minutes(2),
        severity: CRITICAL,
        condition: "Granted is not settled plus in flight.",
        promql: "max by (cluster_name, group) (tidemark_ledger_imbalance != 0)",
        why: "2m: a defect stays, a value that was read in the middle of a change does not.",
        summary: "The books of {group} do not balance",
        description: "Granted minus settled minus in flight is {value} on {cluster_name}: its counts cannot be trusted.",
        needs: Needs::Nothing,
        predicate: Some(when::imbalance),
    },
    Definition {
        name: "LedgerGrantOverdue",
        group: RuleGroup::Idempotency,
        hold: minutes(2),
        severity: WARNING,
        condition: "A grant is more than a minute past its lease and nobody took it over.",
        promql: "max by (cluster_name, group) (tidemark_ledger_overdue_seconds) > 60",
        why: "60: four leases of 15 s. By then the record should have been delivered again and taken over.",
        summary: "An event of {group} was begun and nobody finishes it",
        description: "Its lease ended {value|duration} ago on {cluster_name} and no consumer took it over.",
        needs: Needs::Nothing,
        predicate: Some(when::grant_overdue),
    },
    Definition {
        name: "LedgerLostCalls",
        group: RuleGroup::Idempotency,
        hold: Duration::ZERO,
        severity: WARNING,
        condition: "The store took back calls that it had acknowledged, within the last 10 minutes.",
        promql: "max by (cluster_name, group) (tidemark_ledger_lost_calls_total)\n\
                 - max by (cluster_name, group) (tidemark_ledger_lost_calls_total offset 10m) > 0",
        why: "A difference, not increase(): failovers are when this counter moves, and they may take it back.",
        summary: "The ledger of {group} lost calls that it had acknowledged",
        description: "{value} in 10 minutes on {cluster_name}: the store failed over or lost power; records are read again.",
        needs: Needs::Nothing,
        predicate: Some(when::lost_calls),
    },
    Definition {
        name: "OutboxNotDraining",
        group: RuleGroup::Idempotency,
        hold: minutes(2),
        severity: CRITICAL,
        condition: "The oldest event that waits to be published is older than a minute.",
        promql: "max by (cluster_name, group) (tidemark_outbox_oldest_seconds) > 60",
        why: "60: the relay empties an outbox in well under a second while Kafka answers.",
        summary: "Events of {group} wait to be published",
        description: "The oldest is {value|duration} old on {cluster_name}: the relay is down or Kafka refuses it.",
        needs: Needs::Nothing,
        predicate: Some(when::outbox_not_draining),
    },
    Definition {
        name: "SagaStuck",
        group: RuleGroup::Idempotency,
        hold: minutes(10),
        severity: WARNING,
        condition: "Orders are past the deadline of the step that they wait for.",
        promql: "max by (cluster_name, step) (tidemark_saga_stuck{step!=\"refund\"}) > 0",
        why: "A refund past its deadline has an alert of its own: it needs a human.",
        summary: "{value} sagas wait for {step}",
        description: "Sagas on {cluster_name} are past the deadline of step {step}.",
        needs: Needs::Nothing,
        predicate: Some(when::saga_stuck),
    },
    Definition {
        name: "SagaNeedsHuman",
        group: RuleGroup::Idempotency,
        hold: minutes(1),
        severity: CRITICAL,
        condition: "Orders do not settle by themselves: a refund is past its deadline, or goods arrived although the order was undone.",
        promql: "max by (cluster_name) (tidemark_sagas{state=\"needs_human\"}) > 0",
        why: "1m: a refund that comes just after its deadline settles the order.",
        summary: "{value} sagas of {cluster_name} need a human",
        description: "Money or goods of {value} orders are not where they belong, and no rule can settle it.",
        needs: Needs::Nothing,
        predicate: Some(when::saga_needs_human),
    },
    Definition {
        name: "DeadLetters",
        group: RuleGroup::Idempotency,
        hold: Duration::ZERO,
        severity: WARNING,
        condition: "Consumers gave up on events within the last 10 minutes.",
        promql: "(\n  \
                   max by (cluster_name, group) (tidemark_group_dead_letters)\n  \
                   - (\n    \
                     max by (cluster_name, group) (last_over_time(tidemark_group_dead_letters[1h] offset 10m))\n    \
                     < max by (cluster_name, group) (min_over_time(tidemark_group_dead_letters[10m]))\n    \
                     or\n    \
                     0 * max by (cluster_name, group) (tidemark_group_dead_letters)\n    \
                     unless max by (cluster_name, group) (last_over_time(tidemark_group_dead_letters[1h] offset 10m))\n    \
                     and on (cluster_name) tidemark_kafka_up offset 10m == 1\n    \
                     or\n    \
                     max by (cluster_name, group) (min_over_time(tidemark_group_dead_letters[10m]))\n  \
                   )\n\
                 ) > 0\n\
                 or\n\
                 sum by (group, topic) (increase(tidemark_dead_letters_total[10m])) > 0\n\
                 unless on (group) tidemark_group_dead_letters",
        why: "Letters now minus those of 10 minutes before, or their lowest number since; a topic that is made meanwhile held none. Consumers count their own, which is asked where the monitor does not read their topics.",
        summary: "{group} gave up on events",
        description: "{value|short} in 10 minutes.",
        needs: Needs::Letters,
        predicate: Some(when::dead_letters),
    },
];
