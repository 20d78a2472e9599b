//! Whether all can still end: everybody who works is gone, time has passed, and one new worker does what is left.

use crate::history::{Fate, Place, at_once, delivery, owner};
use crate::protocol::{Effect, Protocol, millis};
use crate::world::{IDS, World};
use tidemark::store::*;

/// What the end depends on once every lease has ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outlook {
    /// As in [`Fate`]: 0 unknown, 1 in flight, 2 waiting, 3 completed, 4 dead.
    fates: [u8; IDS],
    applied: [bool; IDS],
    version: u64,
    effects: [u8; IDS],
    from: u64,
}

impl Protocol {
    /// Whether every event ends completed with its effect, or given up, when this world's workers do nothing more.
    pub fn ends_well(&self, world: &World) -> bool {
        let outlook = Outlook {
            fates: world.primary.fates.map(|fate| match fate {
                Fate::Unknown => 0,
                Fate::InFlight { .. } => 1,
                Fate::Waiting { .. } => 2,
                Fate::Completed { .. } => 3,
                Fate::Dead { .. } => 4,
            }),
            applied: world.primary.applied,
            version: world.primary.version,
            effects: world.effects,
            from: self.first_record(world.committed, world.server),
        };
        if let Some(known) = self.endings.lock().expect("no thread has died").get(&outlook) {
            return *known;
        }
        let ends_well = self.play_out(world, &outlook);
        self.endings.lock().expect("no thread has died").insert(outlook, ends_well);
        ends_well
    }

    fn play_out(&self, world: &World, outlook: &Outlook) -> bool {
        let (mut history, mut effects) = (world.primary.clone(), world.effects);
        let now = world.now + 2 * millis(crate::history::LEASE) + 1;
        let place = &self.place;
        let first = usize::try_from(outlook.from).unwrap_or(usize::MAX);
        for (record, &id) in self.bounds.records.iter().enumerate().skip(first) {
            let terms = Terms { owner: owner(0), lease: crate::history::LEASE, intent: Intent::Normal };
            let delivery = delivery(id, record);
            let claim = place
                .call(&mut history, now, |store| at_once(store.claim(place.at(), &terms, std::slice::from_ref(&delivery))));
            let fence = match claim.as_deref() {
                Ok([Claim::Granted { fence, .. }]) => *fence,
                Ok([Claim::Duplicate { .. }]) => continue,
                _ => return false,
            };
            let (grant, version) = (Grant::of(&delivery, fence), history.version);
            let is_done = place.call(&mut history, now, |store| finish(place, store, self.bounds.effect, grant, version));
            if !is_done {
                return false;
            }
            effects[id] += u8::from(self.bounds.effect == Effect::Outside);
        }
        let has_effect = |id: usize| match self.bounds.effect {
            Effect::Outside => effects[id] > 0,
            Effect::InStore => history.applied[id],
        };
        let is_well = |id: usize| match history.fates[id] {
            Fate::Completed { .. } => has_effect(id),
            Fate::Dead { .. } => true,
            Fate::Unknown | Fate::InFlight { .. } | Fate::Waiting { .. } => false,
        };
        self.bounds.records.iter().all(|id| is_well(*id)) && history.books_balance
    }
}

fn finish(place: &Place, store: &MemoryStore, effect: Effect, grant: Grant, version: u64) -> bool {
    match effect {
        Effect::Outside => at_once(store.complete(place.at(), &owner(0), &[grant])) == Ok(vec![Finish::Done]),
        Effect::InStore => {
            let request = place.request(grant, version);
            matches!(at_once(store.commit(place.at(), &owner(0), &[request])).as_deref(), Ok([Commit::Done { .. }]))
        }
    }
}
