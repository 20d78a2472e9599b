//! The rules that every state has to keep, and what has to be reached for them to mean anything.

use crate::history::Fate;
use crate::protocol::{Effect, Move, Protocol};
use crate::world::{Breach, World};
use stateright::{Model, Property};
use tidemark::store::{DuplicateOutcome, GrantKind};

pub const STALE: &str = "a stale holder settles nothing";
pub const ALONE: &str = "while a lease runs nobody else is granted the event";
pub const FIRST: &str = "an event is granted first once in a history, so that every later grant shows as a repeat";
pub const FENCES: &str = "fences only rise, over failovers too";
pub const SETTLED: &str = "no offset passes an unsettled record";
pub const SAFE: &str = "what is committed after waiting for the replica stays settled over a failover";
pub const ENDS: &str = "from every state every event can still end, completed with its effect or given up";
pub const ONCE: &str = "business state and ledger agree: each completed event is applied once";
pub const BOOKS: &str = "the books balance";
pub const KNOWN: &str = "a holder's event is unknown to the store after a failover only";
pub const COUNTED: &str = "a call that is repeated is counted once";

pub const RULES: [&str; 11] = [STALE, ALONE, FIRST, FENCES, SETTLED, SAFE, ENDS, ONCE, BOOKS, KNOWN, COUNTED];

fn kept(world: &World, breach: Breach) -> bool {
    world.breach != Some(breach)
}

fn is_safe(model: &Protocol, world: &World) -> bool {
    let committed = world.committed.filter(|_| model.bounds.waits).map_or(0, |committed| committed.offset);
    let below = model.bounds.records.iter().take(usize::try_from(committed).unwrap_or(usize::MAX));
    below.into_iter().all(|id| world.primary.fates[*id].is_settled())
}

fn is_applied_once(model: &Protocol, world: &World) -> bool {
    let completed = world.primary.fates.map(|fate| matches!(fate, Fate::Completed { .. }));
    let applied = completed.iter().filter(|completed| **completed).count() as u64;
    model.bounds.effect == Effect::Outside || (world.primary.applied == completed && world.primary.version == applied)
}

fn has_read_all(model: &Protocol, world: &World) -> bool {
    world.committed.is_some_and(|committed| committed.offset == model.bounds.records.len() as u64)
}

impl Model for Protocol {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        vec![self.first_world()]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        self.moves(world, moves);
    }

    fn next_state(&self, world: &World, next: Move) -> Option<World> {
        self.after(world, &next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::<Self>::always(STALE, |_, world| kept(world, Breach::StaleHolder)),
            Property::<Self>::always(ALONE, |_, world| kept(world, Breach::NotAlone)),
            Property::<Self>::always(FIRST, |_, world| kept(world, Breach::SecondFirst)),
            Property::<Self>::always(FENCES, |_, world| kept(world, Breach::FenceReused)),
            Property::<Self>::always(SETTLED, |_, world| kept(world, Breach::PastUnsettled)),
            Property::<Self>::always(KNOWN, |_, world| kept(world, Breach::UnknownWithoutFailover)),
            Property::<Self>::always(COUNTED, |_, world| kept(world, Breach::CountedAgain)),
            Property::<Self>::always(BOOKS, |_, world| kept(world, Breach::Books)),
            Property::<Self>::always(SAFE, is_safe),
            Property::<Self>::always(ONCE, is_applied_once),
            Property::<Self>::always(ENDS, Self::ends_well),
        ];
        if self.mutant.is_none() {
            all.extend(self.examples());
        }
        all
    }
}

impl Protocol {
    /// What has to happen somewhere: a rule that is kept because nothing happens says nothing.
    fn examples(&self) -> Vec<Property<Self>> {
        let most = self.bounds.most;
        let mut all = vec![Property::<Self>::sometimes("the group has read everything", has_read_all)];
        if most.lapses > 0 {
            all.push(Property::<Self>::sometimes("a lapsed grant is taken over", |_, world| {
                world.primary.counters.granted_of(GrantKind::Takeover) > 0
            }));
            all.push(Property::<Self>::sometimes("a stale holder is fenced", |_, world| world.primary.counters.fenced > 0));
        }
        if most.returns > 0 {
            all.push(Property::<Self>::sometimes("an event is given up", |_, world| world.primary.counters.failed > 0));
            all.push(Property::<Self>::sometimes("an event is granted again after a release", |_, world| {
                world.primary.counters.granted_of(GrantKind::Retry) > 0
            }));
        }
        if most.failovers > 0 && !self.bounds.waits {
            all.push(Property::<Self>::sometimes(
                "a failover takes back what an offset was committed on",
                |model, world| has_read_all(model, world) && !world.primary.fates.iter().all(|fate| fate.is_settled()),
            ));
        }
        if most.failovers > 0 && self.bounds.effect == Effect::Outside {
            all.push(Property::<Self>::sometimes("work is repeated after a failover, with another grant", |_, world| {
                world.spent.failovers > 0
                    && world.spent.lapses == 0
                    && world.spent.returns == 0
                    && world.effects.contains(&2)
            }));
            if most.starts > 1 {
                all.push(Property::<Self>::sometimes("a repeat shows as executed twice", |_, world| {
                    let executed = DuplicateOutcome::Executed as usize;
                    world.primary.counters.duplicates.iter().any(|cause| cause[executed] > 0)
                }));
            }
            all.push(Property::<Self>::sometimes("a completion that was lost is settled again", |_, world| {
                world.primary.counters.orphans > 0
            }));
        }
        if most.unheard > 0 {
            all.push(Property::<Self>::sometimes("a reply is lost", |_, world| world.spent.unheard > 0));
        }
        all
    }
}
