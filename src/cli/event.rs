//! `tidemark event`: the passport of one event over all consumer groups, as `/events/{id}` shows it, and its order's saga.

mod ledgers;

use super::{Failure, dlt::printable, out};
use crate::{
    config::{ConfigError, FileConfig, args::ConnectionArgs},
    lag::words,
    monitor::{
        Deadlines, Dossier, LedgerLookUp, RecentRepeats,
        lookup::{Answer, ConsumerPassport, EntryState, EventPassport, EventQuery, OrderTimeline},
        saga_sentence,
        view::{DuplicateCause, DuplicateEntry, DuplicateOutcome},
    },
    store::Store,
};
use anyhow::{Context, anyhow};
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use std::{collections::BTreeSet, fmt::Write as _, process::ExitCode, time::Duration};

/// How long the ledger may take, and Kafka for one record.
const DEADLINES: Deadlines = Deadlines { ledger: Duration::from_secs(10), record: Duration::from_secs(10) };
/// Recent repeats that are read of each group, of either kind: all that its shards keep, if they are four.
const REPEATS_READ: usize = 4_000;
/// Repeats of one group that are printed; JSON has all that were read.
const REPEATS_PRINTED: usize = 20;
/// Characters of an id or a name that are printed.
const MOST_SHOWN: usize = 256;

const EXAMPLES: &str = "\
Examples:
  tidemark event 5b0f9f4e-5d0c-5a3e-9a55-6f0e0b1f6c11 --redis redis://localhost:6379
      what each consumer group did with it, and the order that waits for more of it
  tidemark event ORDER-ID --redis redis://localhost:6379
      an order: its events, its saga, what it waits for
  tidemark event EVENT-ID --redis redis://localhost:6379 --kafka localhost:9092
      the order of an event as well, which its record names
  tidemark event EVENT-ID --config tidemark.toml
      in the ledgers of all its clusters, with the order that the event's record names
  tidemark event evt-1 --source /mail --key customer-7 --redis redis://localhost:6379 --namespace mail -o json
      an event of a producer of one's own

Exit code 1: nobody knows the id, or the ledger does not answer.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct EventArgs {
    /// Id of the event, or of an order
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Its ce_source [default: those of the services, and those of recent repeats of this id]
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Key of its record, which is the order's id: asks one shard of each group, and finds the order without asking Kafka
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

pub async fn run(args: EventArgs) -> Result<ExitCode, Failure> {
    if args.id.is_empty() {
        return Err(ConfigError::invalid("id", "", "must be the id of an event or of an order").into());
    }
    let file = FileConfig::of(&args.connection)?;
    let ledgers = ledgers::to_ask(&args.connection, &file)?;
    let asked = joined(ledgers.iter().map(|to_ask| to_ask.ledger.store.address()));
    let namespaces = joined(ledgers.iter().map(|to_ask| to_ask.ledger.namespace.to_string()));
    let look_up = LedgerLookUp::new(ledgers, RecentRepeats::Store { most: REPEATS_READ });
    let query = EventQuery { cluster: None, id: args.id, source: args.source, key: args.key };
    let dossier = Dossier::gather(&look_up, query, DEADLINES).await;
    if let Some(why) = unanswered(&dossier) {
        return Err(anyhow!("{why} (asked: {asked})").into());
    }
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&dossier.to_json()).context("the passport as JSON")? + "\n",
        Output::Text if dossier.is_absent() => String::new(),
        Output::Text => written(&dossier, Utc::now()),
    };
    out::print(format_args!("{text}"));
    if dossier.is_absent() {
        eprintln!(
            "nobody knows {}: no consumer group has brought it to the ledger of namespace {namespaces} within its window, and no order has this id",
            shown(&dossier.id)
        );
        eprintln!("asked for under {}; an event of another producer is found with --source", shown(&sources(&dossier)));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn sources(dossier: &Dossier) -> String {
    match dossier.asked.sources.is_empty() {
        true => "no source".to_owned(),
        false => format!("the source {}", dossier.asked.sources_in_words()),
    }
}

fn joined(words: impl Iterator<Item = String>) -> String {
    words.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

/// Why nothing can be said at all.
fn unanswered(dossier: &Dossier) -> Option<&str> {
    match (&dossier.event, dossier.order()) {
        (Answer::Unknown(why), Answer::Absent | Answer::Unknown(_)) => Some(why),
        (Answer::Absent, Answer::Unknown(_)) => match &dossier.named_order {
            Answer::Unknown(why) => Some(why),
            Answer::Found(_) | Answer::Absent => None,
        },
        (Answer::Found(_), _) | (_, Answer::Found(_)) | (Answer::Absent, Answer::Absent) => None,
    }
}

fn shown(text: &str) -> String {
    printable(text, MOST_SHOWN)
}

/// Lines of a name and a value. Writing to a String cannot fail.
struct Lines(String);

impl Lines {
    fn title(&mut self, title: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}{title}");
    }

    fn line(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "  {name:<12} {value}");
    }

    fn line_if(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.line(name, &value);
        }
    }
}

fn written(dossier: &Dossier, now: DateTime<Utc>) -> String {
    let mut lines = Lines(String::new());
    match &dossier.event {
        Answer::Found(passport) => event(&mut lines, (passport, dossier.asked.left_out_in_words()), now),
        Answer::Absent => {}
        Answer::Unknown(why) => lines.title(&format!("event {}: not known: {why}", shown(&dossier.id))),
    }
    match dossier.order() {
        Answer::Found(found) => order(&mut lines, found, &dossier.id, now),
        Answer::Absent => lines.title(&match &dossier.event {
            Answer::Found(EventPassport { key: Some(key), .. }) => format!("order: none is known by the key {}", shown(key)),
            Answer::Found(_) | Answer::Absent | Answer::Unknown(_) => "order: none that is known".to_owned(),
        }),
        Answer::Unknown(why) => lines.title(&format!("order: {}", shown(&why))),
    }
    lines.0
}

fn event(lines: &mut Lines, (passport, left_out): (&EventPassport, Option<String>), now: DateTime<Utc>) {
    let source = passport.source.as_deref().map(|source| format!(" of {}", shown(source))).unwrap_or_default();
    lines.title(&format!("event {}{source}", shown(&passport.event_id)));
    lines.line("remembered", &format!("for {} at least", words::duration(passport.window)));
    lines.line_if("key", passport.key.as_deref().map(shown));
    if passport.unanswered_shards > 0 {
        let shards = words::counted(passport.unanswered_shards as u64, "shard");
        lines.line("unanswered", &format!("{shards}: further groups may know this event"));
    }
    lines.line_if("", left_out.as_deref().map(shown));
    for consumer in &passport.consumers {
        group(lines, consumer, &passport.event_id, now);
    }
}

const fn state_words(state: EntryState) -> &'static str {
    match state {
        EntryState::InProgress => "in progress",
        EntryState::WaitingForRetry => "released, waits for a retry",
        EntryState::Completed => "completed",
        EntryState::GivenUp => "failed, given up",
        EntryState::NotKnown => "not known",
        EntryState::Unanswered => "unknown",
    }
}

fn group(lines: &mut Lines, consumer: &ConsumerPassport, event_id: &str, now: DateTime<Utc>) {
    let why = if consumer.note.is_empty() { String::new() } else { format!(": {}", shown(&consumer.note)) };
    lines.title(&format!("{}  {}{why}", shown(&consumer.group), state_words(consumer.state)));
    lines.line_if("claimed", consumer.claimed_at.map(words::iso));
    lines.line_if("fence", consumer.fence.map(|fence| fence.to_string()));
    lines.line_if("place", consumer.place.as_ref().map(|place| shown(&place.to_string())));
    lines.line_if("owner", consumer.owner.as_deref().map(shown));
    lines.line_if("attempt", consumer.attempts.map(|attempts| attempts.to_string()));
    if let Some(until) = consumer.until {
        match consumer.state {
            EntryState::InProgress if until <= now => lines.line("lease", &format!("ended at {}", words::iso(until))),
            EntryState::InProgress => lines.line("lease", &format!("until {}", words::iso(until))),
            EntryState::WaitingForRetry => lines.line("not before", &words::iso(until)),
            EntryState::Completed | EntryState::GivenUp | EntryState::NotKnown | EntryState::Unanswered => {
                lines.line("remembered", &format!("until {}", words::iso(until)));
            }
        }
    }
    if consumer.state.is_known() {
        lines.line("repeats", &repeats(consumer));
    }
    for repeat in consumer.repeats.iter().take(REPEATS_PRINTED) {
        lines.line("", &repeat_words(repeat));
    }
    if consumer.repeats.len() > REPEATS_PRINTED {
        lines.line("", &format!("and {} more", consumer.repeats.len() - REPEATS_PRINTED));
    }
    for topic in consumer.dead_letter_topics() {
        lines.line("dead letter", &format!("in {}", shown(&topic)));
        let (group, event) = (shown(&consumer.group), shown(event_id));
        lines.line("", &format!("tidemark dlt list --from {} --group {group} --event {event} --letters", shown(&topic)));
    }
}

/// `3 suppressed (2 redelivery, 1 republish); 1 executed twice (1 concurrent)`.
fn repeats(consumer: &ConsumerPassport) -> String {
    if consumer.repeats.is_empty() {
        return "none among the recent ones".to_owned();
    }
    let of = |outcome: DuplicateOutcome, word: &str| {
        let causes = DuplicateCause::ALL.map(|cause| (cause, consumer.count(cause, outcome)));
        let all: usize = causes.iter().map(|(_, count)| count).sum();
        let causes: Vec<String> = causes
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(cause, count)| format!("{count} {}", cause.label()))
            .collect();
        (all > 0).then(|| format!("{all} {word} ({})", causes.join(", ")))
    };
    let outcomes = [of(DuplicateOutcome::Executed, "executed twice"), of(DuplicateOutcome::Suppressed, "suppressed")];
    outcomes.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn repeat_words(repeat: &DuplicateEntry) -> String {
    let place = repeat.place.as_ref().map(|place| format!(" at {}", shown(&place.to_string()))).unwrap_or_default();
    let (outcome, cause) = (repeat.outcome.label(), repeat.cause.label());
    format!("{} {outcome}, {cause}{place} by {}", words::iso(repeat.at), shown(&repeat.owner))
}

fn order(lines: &mut Lines, order: &OrderTimeline, id: &str, now: DateTime<Utc>) {
    lines.title(&format!("order {}  {}", shown(&order.order_id), shown(&order.status)));
    let state = order.saga.state.map_or("state not known", |state| state.label());
    lines.line("saga", &format!("{state}. {}", shown(&saga_sentence(&order.saga, now))));
    lines.line_if("deadline", order.saga.wait.as_ref().and_then(|wait| wait.deadline).map(words::iso));
    for word in &order.settled {
        let (by, reason) = (shown(&word.by), shown(&word.reason));
        lines.line("settled", &format!("as {} by {by} at {}: {reason}", word.outcome, words::iso(word.at)));
    }
    for step in &order.steps {
        let here = if step.event_id == id { "  <- this one" } else { "" };
        lines.line("", &format!("{} {:<18} {}{here}", words::iso(step.at), shown(&step.event_type), shown(&step.event_id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::{
        lookup::{Asked, OrderStep, SagaPassport, SagaWait},
        view::{Place, SagaState},
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_764_000_000 + seconds, 0).unwrap()
    }

    fn known(state: EntryState) -> ConsumerPassport {
        let place = |offset| Some(Place { topic: "orders".into(), partition: 3, offset });
        let repeat = |cause, outcome, offset| DuplicateEntry {
            at: at(5),
            event_id: "e1".into(),
            source: "/shop".into(),
            group: "payment".into(),
            cause,
            outcome,
            late: false,
            first_at: Some(at(0)),
            first_place: place(17),
            place: place(offset),
            owner: "p-2".into(),
            first_owner: None,
        };
        ConsumerPassport {
            fence: Some(1_764_000_000_000_000),
            claimed_at: Some(at(0)),
            place: place(17),
            owner: Some("p-1\u{1b}[2J".into()),
            until: Some(at(3_600)),
            repeats: vec![
                repeat(DuplicateCause::Redelivery, DuplicateOutcome::Suppressed, 17),
                repeat(DuplicateCause::Concurrent, DuplicateOutcome::Executed, 17),
                repeat(DuplicateCause::Conflict, DuplicateOutcome::Suppressed, 19),
            ],
            ..ConsumerPassport::silent(&"payment".into(), state, String::new())
        }
    }

    fn dossier() -> Dossier {
        let wait = SagaWait {
            step: "delivery".into(),
            missing: "DELIVERY_COMPLETED".into(),
            since: at(-60),
            deadline: Some(at(-15)),
        };
        let order = OrderTimeline {
            order_id: "o1".into(),
            status: "paid".into(),
            saga: SagaPassport { state: Some(SagaState::Stuck), wait: Some(wait) },
            settled: Vec::new(),
            steps: vec![OrderStep { at: at(-60), event_type: "PAYMENT_COMPLETED".into(), event_id: "e1".into() }],
        };
        let passport = EventPassport {
            event_id: "e1".into(),
            source: Some("/shop".into()),
            consumers: vec![
                ConsumerPassport::silent(&"audit".into(), EntryState::NotKnown, "not brought".into()),
                known(EntryState::GivenUp),
            ],
            order: Answer::Found(order),
            window: Duration::from_secs(604_800),
            unanswered_shards: 0,
            cluster: "local".into(),
            key: Some("o1".into()),
        };
        let asked = Asked::default();
        Dossier { id: "e1".into(), asked, event: Answer::Found(passport), named_order: Answer::Absent }
    }

    #[test]
    fn the_passport_names_state_cause_dead_letter_and_the_missing_event() {
        insta::assert_snapshot!(written(&dossier(), at(30)), @r"
        event e1 of /shop
          remembered   for 7 d at least
          key          o1

        audit  not known: not brought

        payment  failed, given up
          claimed      2025-11-24T16:00:00.000Z
          fence        1764000000000000
          place        orders/3@17
          owner        p-1�[2J
          remembered   until 2025-11-24T17:00:00.000Z
          repeats      1 executed twice (1 concurrent); 2 suppressed (1 redelivery, 1 conflict)
                       2025-11-24T16:00:05.000Z suppressed, redelivery at orders/3@17 by p-2
                       2025-11-24T16:00:05.000Z executed, concurrent at orders/3@17 by p-2
                       2025-11-24T16:00:05.000Z suppressed, conflict at orders/3@19 by p-2
          dead letter  in orders.payment.dlt
                       tidemark dlt list --from orders.payment.dlt --group payment --event e1 --letters

        order o1  paid
          saga         stuck. It waits for DELIVERY_COMPLETED (step delivery) since 1 min 30 s; its deadline was 45 s ago.
          deadline     2025-11-24T15:59:45.000Z
                       2025-11-24T15:59:00.000Z PAYMENT_COMPLETED  e1  <- this one
        ");
    }

    #[test]
    fn groups_past_the_bound_and_an_order_that_was_not_looked_for_are_said() {
        let mut dossier = dossier();
        dossier.asked.left_out = (0..7).map(|n| format!("g{n}").into()).collect();
        let Answer::Found(passport) = &mut dossier.event else { panic!("found") };
        passport.unanswered_shards = 28;
        passport.order = Answer::Unknown("not looked for: orders/3@17 is not kept any more".into());
        let text = written(&dossier, at(30));
        for words in [
            "28 shards: further groups may know this event",
            "7 groups not asked, being past the bound of a look-up: g0, g1, g2, g3, g4 and 2 more",
            "order: not looked for: orders/3@17 is not kept any more",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn a_ledger_that_does_not_answer_is_no_answer_about_the_id() {
        assert_eq!(unanswered(&Dossier::unknown("e1", "no")), Some("no"));
        let half = Dossier { event: Answer::Absent, named_order: Answer::Unknown("no".into()), ..dossier() };
        assert_eq!(unanswered(&half), Some("no"), "it may be an order");
        let order_only = Dossier { event: Answer::Unknown("no".into()), ..dossier() };
        assert_eq!(unanswered(&order_only), Some("no"));
        assert_eq!(unanswered(&dossier()), None);
        let nobody = Dossier { event: Answer::Absent, named_order: Answer::Absent, ..dossier() };
        assert!(unanswered(&nobody).is_none() && nobody.is_absent());
    }
}
