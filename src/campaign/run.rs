//! One run: servers and services are started, the plan is played, all comes to rest, and the judge has the word.

use super::{
    broker::Broker,
    customers::Customers,
    evidence::{Evidence, Letter, MadeUp, Order, PhaseEnd, Record},
    injector::{Injector, TOPICS},
    judge::{Judgement, Promise, judge},
    kafka::{Ends, Observer},
    plan::{Phase, Plan},
    process::Warden,
    redis_servers::Redis,
    rest::{Rest, until_rest},
    shop::{Shop, ShopSettings},
    world::{Notes, World, watch},
};
use crate::{
    effects::read_log,
    events::Event,
    services::Service,
    store::{LedgerName, Namespace, RedisStore, RedisTimeouts, Shape, Store},
};
use anyhow::Context;
use futures_util::future::try_join_all;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longest time until all is at rest after the last fault of a phase.
const REST_TIME: Duration = Duration::from_secs(90);
/// As many ids as a ledger of a run is made for.
const EXPECTED: u64 = 10_000;
const WINDOW: Duration = Duration::from_secs(7 * 24 * 3_600);
const SHARDS: u32 = 4;

/// What runs need, and keep between them.
pub struct Ground {
    pub warden: Warden,
    pub broker: Arc<RwLock<Broker>>,
    pub redis_server: PathBuf,
    pub dir: PathBuf,
    /// After so long a silent member is thrown out of its group.
    pub session: Duration,
}

/// What came out of one run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub judgement: Judgement,
    pub numbers: Numbers,
    pub skipped: Vec<String>,
    pub lasted: Duration,
}

/// What was counted, for the report.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    pub orders: usize,
    pub records: usize,
    pub put_by_hand: usize,
    pub copies_by_services: usize,
    /// At the end.
    pub rest: Rest,
}

/// Plays a plan on fresh ledgers.
///
/// # Errors
/// A part could not be started or a step not be played: the run says nothing about the product.
pub async fn run(ground: &Ground, plan: &Plan) -> anyhow::Result<Run> {
    let began = Instant::now();
    let connection = ground.broker.read().await.connection()?;
    let mut observer = Observer::new(connection.clone());
    observer.create_topics().await?;
    let start = observer.look_at_all().await?.ends;
    observer.skip_what_is_there(&start).await?;
    let name = format!("run-{:08x}", rand::random::<u32>());
    let dir = ground.dir.join(&name);
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let redis = Redis::start(&ground.redis_server, &dir, &ground.warden).await?;
    let namespace = Namespace::new(&name)?;
    let store = RedisStore::new(&redis.url(), RedisTimeouts::default())?;
    for service in Service::ALL {
        let shape = Shape::expecting(EXPECTED, SHARDS, WINDOW)?;
        store.init(&LedgerName::new(namespace.clone(), service.group()), shape).await?;
    }
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let seen = watch(&connection, &stop).await?;
    let effects = dir.join("effects.jsonl");
    let settings = ShopSettings {
        program: std::env::current_exe().context("the path of this program")?,
        kafka: connection.bootstrap().to_owned(),
        redis: redis.url(),
        namespace: name,
        dir,
        effects: effects.clone(),
        session: ground.session,
        warden: ground.warden.clone(),
    };
    let shop = Shop::open(settings).await?;
    let world = World {
        seed: plan.seed,
        customers: Arc::new(Customers::new(shop.slot(Service::Order).port)?),
        broker: Arc::clone(&ground.broker),
        redis: tokio::sync::Mutex::new(redis),
        shop,
        injector: Injector::new(&connection)?,
        store,
        namespace,
        seen,
        effects,
        notes: Mutex::default(),
    };
    let played = play(&world, &mut observer, plan).await?;
    let unclean = world.shop.close().await?;
    let mut run = assess(&world, &observer, &start, played).await?;
    for service in unclean {
        run.judgement.break_promise(Promise::ComesToRest, format!("{service} did not end cleanly when it was told to"));
    }
    run.lasted = began.elapsed();
    Ok(run)
}

/// What was seen at the end of each phase.
struct Played {
    /// The first is that of the beginning.
    ends: Vec<(Rest, bool)>,
    /// Why it did not come to rest; then nothing else is judged.
    unrest: Option<String>,
}

async fn play(world: &World, observer: &mut Observer, plan: &Plan) -> anyhow::Result<Played> {
    let first = until_rest(observer, &world.store, &world.namespace, REST_TIME).await;
    let first = first.map_err(|unrest| anyhow::anyhow!("the services do not begin: {unrest}"))?;
    let mut played = Played { ends: vec![(first, true)], unrest: None };
    for (index, phase) in plan.phases.iter().enumerate() {
        play_phase(world, phase, index).await?;
        let rest = until_rest(observer, &world.store, &world.namespace, REST_TIME).await;
        if let Some(ended) = world.shop.ended_by_itself().await {
            played.unrest = Some(ended);
            return Ok(played);
        }
        match rest {
            Ok(rest) => played.ends.push((rest, phase.only_puts())),
            Err(unrest) => {
                played.unrest = Some(format!("phase {}, {} s later: {unrest}", index + 1, REST_TIME.as_secs()));
                return Ok(played);
            }
        }
    }
    Ok(played)
}

/// Traffic and faults side by side, until both are over.
async fn play_phase(world: &World, phase: &Phase, index: usize) -> anyhow::Result<()> {
    let steps = phase.steps.iter().map(|step| async move {
        tokio::time::sleep(step.at).await;
        world.play(step, index).await.with_context(|| format!("step {}, {}", step.number, step.fault))
    });
    let traffic = world.customers.order_for(phase.orders, phase.lasts, index);
    let (played, ()) = tokio::join!(try_join_all(steps), traffic);
    played.map(drop)
}

async fn assess(world: &World, observer: &Observer, start: &Ends, played: Played) -> anyhow::Result<Run> {
    let notes = world.notes().clone();
    let Played { ends, unrest } = played;
    let last = ends.last().map(|(rest, _)| rest.clone()).unwrap_or_default();
    let evidence = evidence(world, observer, start, &ends, &notes).await?;
    let mut judgement = if unrest.is_none() { judge(&evidence) } else { Judgement::default() };
    if let Some(how) = unrest {
        judgement.break_promise(Promise::ComesToRest, how);
    }
    for how in notes.open {
        judgement.break_promise(Promise::FailsClosed, how);
    }
    let marked = evidence.records.iter().filter(|record| record.mark.is_some()).count();
    let numbers = Numbers {
        orders: evidence.orders.len(),
        records: evidence.records.len(),
        put_by_hand: marked,
        copies_by_services: judgement.outcome.copies,
        rest: last,
    };
    Ok(Run { judgement, numbers, skipped: notes.skipped, lasted: Duration::ZERO })
}

async fn evidence(
    world: &World,
    observer: &Observer,
    start: &Ends,
    ends: &[(Rest, bool)],
    notes: &Notes,
) -> anyhow::Result<Evidence> {
    let (mut records, mut letters, mut from) = (Vec::new(), Vec::new(), start.clone());
    for (phase, (rest, _)) in ends.iter().skip(1).enumerate() {
        for record in observer.records(&from, &of_the_shop(&rest.ends)).await? {
            if TOPICS.iter().any(|topic| topic.name() == &*record.topic) {
                records.push(Record::of(&record, phase));
            } else {
                letters.extend(Letter::of(&record));
            }
        }
        from.clone_from(&rest.ends);
    }
    records.sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
    let text = tokio::fs::read_to_string(&world.effects).await.unwrap_or_default();
    // An emptied ledger may have taken a copy of what was done long before for something new.
    let copied: BTreeSet<Uuid> = records
        .iter()
        .filter(|record| record.mark.is_some() && notes.accepted.iter().any(|(_, phase)| *phase == record.phase))
        .filter_map(|record| record.event.as_ref().map(Event::order_id))
        .collect();
    let orders = world.customers.wanted().into_iter().map(|wanted| Order {
        id: wanted.id,
        fate: wanted.fate,
        exposed: notes.is_exposed(wanted.asked, wanted.phase) || copied.contains(&wanted.id),
        refused: wanted.refused,
    });
    let made_up = notes.made_up.iter().map(|(order, at, phase)| MadeUp { exposed: notes.is_exposed(*at, *phase), ..*order });
    let phases = ends.iter().map(|(rest, only_puts)| PhaseEnd { books: rest.books.clone(), only_puts: *only_puts });
    Ok(Evidence {
        orders: orders.collect(),
        made_up: made_up.collect(),
        records,
        letters,
        calls: read_log(&text)?,
        phases: phases.collect(),
        damage: notes.damage,
    })
}

/// The ends of the topics that a run writes to, dead-letter topics among them.
fn of_the_shop(ends: &Ends) -> Ends {
    let is_ours = |topic: &str| TOPICS.iter().any(|ours| topic == ours.name()) || topic.ends_with(".dlt");
    ends.iter().filter(|((topic, _), _)| is_ours(topic)).map(|(place, end)| (place.clone(), *end)).collect()
}

/// Refuses topics that hold records of somebody else.
///
/// # Errors
/// Kafka does not answer. The value names a topic that is not empty.
pub async fn topic_in_use(broker: &Broker) -> anyhow::Result<Option<String>> {
    let mut observer = Observer::new(broker.connection()?);
    observer.create_topics().await?;
    let ends = of_the_shop(&observer.look_at_all().await?.ends);
    Ok(ends.into_iter().find(|(_, end)| *end > 0).map(|((topic, _), _)| topic))
}

/// A folder for everything that runs write.
///
/// # Errors
/// It cannot be made.
pub fn scratch(keep: Option<&Path>) -> anyhow::Result<PathBuf> {
    let dir = keep.map_or_else(
        || std::env::temp_dir().join(format!("tidemark-campaign-{:08x}", rand::random::<u32>())),
        Path::to_path_buf,
    );
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    Ok(dir)
}
