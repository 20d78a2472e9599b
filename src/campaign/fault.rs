//! What can be done to the services and to what they stand on, as data. Pure.
//!
//! To add one: a kind, a case with its sizes, how it is drawn and worded here, and what it does in `stage`.

use super::dice::Dice;
use crate::{fail_point::FailPoint, services::Service};
use std::{fmt, time::Duration};

/// A kind of fault; its name is what `--faults` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    Kill,
    Crash,
    Zombie,
    Storm,
    RedisCut,
    RedisSlow,
    RedisRestart,
    Promotion,
    Flushall,
    BrokerStop,
    Duplicate,
    Conflict,
    OutOfOrder,
    Late,
    Poison,
    /// Not drawn: a promise broken by hand, to see that it is noticed.
    Forged,
}

/// One fault with its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL at any moment.
    Kill { service: Service, down: Duration },
    /// SIGKILL exactly at a crash point, at its nth passing.
    Crash { service: Service, point: FailPoint, nth: u64 },
    /// SIGSTOP for longer than a lease and a session, while a second member works; then SIGCONT.
    Zombie { service: Service, hold: Duration },
    /// Members that join and leave, every second one by SIGKILL.
    Storm { service: Service, joins: u64, each: Duration },
    /// Connections to Redis end, and new ones lead nowhere.
    RedisCut { hold: Duration },
    /// Every answer and every call takes longer.
    RedisSlow { delay: Duration, hold: Duration },
    /// Redis stops and starts again with its data; `hard` by SIGKILL.
    RedisRestart { hard: bool, down: Duration },
    /// A replica that has not got what was written within `lost` becomes the primary.
    Promotion { lost: Duration },
    /// Redis is emptied, and the operator accepts the loss.
    Flushall,
    /// The broker stops and starts again with its data; `hard` by SIGKILL.
    BrokerStop { hard: bool, down: Duration },
    /// Events are published again, all copies at once.
    Duplicate { events: u64, times: u64 },
    /// Ids come again with other payloads.
    Conflict { events: u64 },
    /// Orders that nobody placed, whose end comes before their beginning.
    OutOfOrder { orders: u64 },
    /// The oldest events are published again.
    Late { events: u64 },
    /// Records that are no events, with an id that then comes again.
    Poison { events: u64, repeats: u64 },
    /// A second charge for a paid order, under another key, written into the effects log by hand.
    Forged,
}

impl FaultKind {
    /// All that a plan may draw.
    pub const DRAWN: [Self; 15] = [
        Self::Kill,
        Self::Crash,
        Self::Zombie,
        Self::Storm,
        Self::RedisCut,
        Self::RedisSlow,
        Self::RedisRestart,
        Self::Promotion,
        Self::Flushall,
        Self::BrokerStop,
        Self::Duplicate,
        Self::Conflict,
        Self::OutOfOrder,
        Self::Late,
        Self::Poison,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Crash => "crash",
            Self::Zombie => "zombie",
            Self::Storm => "storm",
            Self::RedisCut => "redis-cut",
            Self::RedisSlow => "redis-slow",
            Self::RedisRestart => "redis-restart",
            Self::Promotion => "promotion",
            Self::Flushall => "flushall",
            Self::BrokerStop => "broker-stop",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::OutOfOrder => "out-of-order",
            Self::Late => "late",
            Self::Poison => "poison",
            Self::Forged => "forged",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::DRAWN.into_iter().find(|kind| kind.name() == name)
    }

    /// It puts records into the topics and disturbs nobody: what the ledger counts must equal what was put there.
    pub const fn is_injection(self) -> bool {
        match self {
            Self::Duplicate | Self::Conflict | Self::OutOfOrder | Self::Late | Self::Poison | Self::Forged => true,
            Self::Kill
            | Self::Crash
            | Self::Zombie
            | Self::Storm
            | Self::RedisCut
            | Self::RedisSlow
            | Self::RedisRestart
            | Self::Promotion
            | Self::Flushall
            | Self::BrokerStop => false,
        }
    }

    /// Draws a fault of this kind.
    pub fn draw(self, dice: &mut Dice) -> Fault {
        match self {
            Self::Kill => Fault::Kill { service: service(dice), down: ms(dice, 0, 1_500) },
            Self::Crash => {
                const POINTS: [FailPoint; 6] =
                    [FailPoint::K0, FailPoint::K1, FailPoint::K2, FailPoint::K3, FailPoint::K4, FailPoint::K5];
                let point = dice.pick(&POINTS).copied().unwrap_or(FailPoint::K2);
                Fault::Crash { service: service(dice), point, nth: dice.between(1, 5) }
            }
            Self::Zombie => {
                let service = if dice.one_in(2) { Service::Payment } else { Service::Delivery };
                Fault::Zombie { service, hold: ms(dice, 6_500, 8_500) }
            }
            Self::Storm => Fault::Storm { service: service(dice), joins: dice.between(2, 4), each: ms(dice, 500, 1_500) },
            Self::RedisCut => Fault::RedisCut { hold: ms(dice, 300, 5_000) },
            Self::RedisSlow => Fault::RedisSlow { delay: ms(dice, 20, 300), hold: ms(dice, 1_000, 5_000) },
            Self::RedisRestart => Fault::RedisRestart { hard: dice.one_in(2), down: ms(dice, 100, 2_500) },
            Self::Promotion => Fault::Promotion { lost: ms(dice, 200, 1_000) },
            Self::Flushall => Fault::Flushall,
            Self::BrokerStop => Fault::BrokerStop { hard: dice.one_in(2), down: ms(dice, 500, 3_000) },
            Self::Duplicate => {
                let times = if dice.one_in(3) { 100 } else { dice.between(1, 20) };
                Fault::Duplicate { events: dice.between(1, 5), times }
            }
            Self::Conflict => Fault::Conflict { events: dice.between(1, 4) },
            Self::OutOfOrder => Fault::OutOfOrder { orders: dice.between(1, 4) },
            Self::Late => Fault::Late { events: dice.between(1, 10) },
            Self::Poison => Fault::Poison { events: dice.between(1, 2), repeats: dice.between(0, 3) },
            Self::Forged => Fault::Forged,
        }
    }
}

impl Fault {
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Kill { .. } => FaultKind::Kill,
            Self::Crash { .. } => FaultKind::Crash,
            Self::Zombie { .. } => FaultKind::Zombie,
            Self::Storm { .. } => FaultKind::Storm,
            Self::RedisCut { .. } => FaultKind::RedisCut,
            Self::RedisSlow { .. } => FaultKind::RedisSlow,
            Self::RedisRestart { .. } => FaultKind::RedisRestart,
            Self::Promotion { .. } => FaultKind::Promotion,
            Self::Flushall => FaultKind::Flushall,
            Self::BrokerStop { .. } => FaultKind::BrokerStop,
            Self::Duplicate { .. } => FaultKind::Duplicate,
            Self::Conflict { .. } => FaultKind::Conflict,
            Self::OutOfOrder { .. } => FaultKind::OutOfOrder,
            Self::Late { .. } => FaultKind::Late,
            Self::Poison { .. } => FaultKind::Poison,
            Self::Forged => FaultKind::Forged,
        }
    }
}

fn service(dice: &mut Dice) -> Service {
    dice.pick(&Service::ALL).copied().unwrap_or(Service::Payment)
}

const fn ms(dice: &mut Dice, low: u64, high: u64) -> Duration {
    Duration::from_millis(dice.between(low, high))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = |hard: bool| if hard { "by SIGKILL" } else { "by SIGTERM" };
        match *self {
            Self::Kill { service, down } => write!(f, "{service} is killed and starts again after {} ms", down.as_millis()),
            Self::Crash { service, point, nth } => write!(f, "{service} dies at {}:{nth}", point.name()),
            Self::Zombie { service, hold } => {
                write!(f, "{service} stands still for {} ms while another member works", hold.as_millis())
            }
            Self::Storm { service, joins, each } => {
                write!(f, "{joins} members of {service} join and leave, {} ms each", each.as_millis())
            }
            Self::RedisCut { hold } => write!(f, "Redis is cut off for {} ms", hold.as_millis()),
            Self::RedisSlow { delay, hold } => {
                write!(f, "Redis answers {} ms late for {} ms", delay.as_millis(), hold.as_millis())
            }
            Self::RedisRestart { hard, down } => {
                write!(f, "Redis ends {} and starts again after {} ms", how(hard), down.as_millis())
            }
            Self::Promotion { lost } => {
                write!(f, "a replica without the last {} ms becomes the primary", lost.as_millis())
            }
            Self::Flushall => f.write_str("Redis is emptied, and the loss is accepted"),
            Self::BrokerStop { hard, down } => {
                write!(f, "the broker ends {} and starts again after {} ms", how(hard), down.as_millis())
            }
            Self::Duplicate { events, times } => write!(f, "{events} events are published {times} times more, at once"),
            Self::Conflict { events } => write!(f, "{events} ids come again with another payload"),
            Self::OutOfOrder { orders } => write!(f, "{orders} orders whose end comes before their beginning"),
            Self::Late { events } => write!(f, "the {events} oldest events are published again"),
            Self::Poison { events, repeats } => write!(f, "{events} records that are no events, each {repeats} times more"),
            Self::Forged => f.write_str("a second charge is written into the effects log by hand"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_name_and_draws_a_fault_of_its_kind() {
        for kind in FaultKind::DRAWN {
            assert_eq!(FaultKind::parse(kind.name()), Some(kind));
            assert_eq!(kind.draw(&mut Dice::new(7)).kind(), kind);
        }
        assert_eq!(FaultKind::parse("forged"), None, "it is planted and never drawn");
    }
}
