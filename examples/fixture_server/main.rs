//! Serves the dashboard with made-up data, for the browser suite and the pictures in `docs/`.
//!
//! `fixture_server [ADDRESS] [PREFIX]` prints its address once it listens. `POST /fixture/scenario/{name}` changes what is
//! shown, `POST /fixture/pause` stops the ticks, `GET /fixture/streams` counts open live streams.

mod fixture;

use anyhow::Context;
use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    routing::{get, post},
};
use chrono::{TimeDelta, Utc};
use fixture::{MadeUpCharts, Scenario, view};
use secrecy::SecretString;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tidemark::{
    config::ReceiverConfig,
    metrics::{ProcessMetrics, TextWriter},
    monitor::{
        Published,
        alerts::Notifier,
        lookup::{
            Answer, Asked, ConsumerPassport, EntryState, EventFound, EventPassport, EventQuery, LookUp, LookUpError,
            LookUpFuture, OrderStep, OrderTimeline, RecordTold, SagaPassport, SagaWait,
        },
        view::{Place, SagaState},
    },
    web::{DashboardState, PreparedMetrics, SettingRow, Settings, router},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const TICK: Duration = Duration::from_secs(1);

/// Knows every id that begins like ours, is slow for `slow`, and knows nothing else.
struct MadeUpLookUp(Arc<Published>);

impl LookUp for MadeUpLookUp {
    fn event(&self, query: EventQuery) -> LookUpFuture<EventFound> {
        let latest = self.0.latest();
        Box::pin(async move {
            if query.id == "slow" {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            let entries =
                latest.clusters.iter().filter_map(|cluster| cluster.ledger.as_ref()).flat_map(|ledger| &ledger.duplicates);
            let repeats: Vec<_> = entries.filter(|entry| entry.event_id == query.id).cloned().collect();
            let sources = ["/tidemark/delivery", "/tidemark/operator", "/tidemark/order", "/tidemark/payment"];
            let sources = query.source.clone().map_or_else(|| sources.map(str::to_owned).into(), |source| [source].into());
            let asked = Asked { sources, left_out: Vec::new() };
            let Some(first) = repeats.first().cloned() else { return Ok(EventFound { asked, passport: None }) };
            let passport = EventPassport {
                event_id: query.id.clone(),
                source: Some(first.source.clone()),
                consumers: vec![
                    ConsumerPassport::silent(
                        &"audit".into(),
                        EntryState::NotKnown,
                        "not brought to the ledger within the last 7 d at least; older ids are forgotten".to_owned(),
                    ),
                    ConsumerPassport {
                        fence: first.first_at.and_then(|at| u64::try_from(at.timestamp_micros()).ok()),
                        claimed_at: first.first_at,
                        place: first.first_place.clone(),
                        until: Some(Utc::now() + TimeDelta::days(9)),
                        repeats,
                        ..ConsumerPassport::silent(&first.group, EntryState::Completed, String::new())
                    },
                ],
                order: Answer::Found(order("0192f3c1-7d00-7abc-8def-000012345678", &query.id)),
                window: Duration::from_secs(604_800),
                unanswered_shards: 0,
                cluster: "local".to_owned(),
                key: None,
            };
            Ok(EventFound { asked, passport: Some(passport) })
        })
    }

    fn record(&self, _: String, place: Place, _: String) -> LookUpFuture<RecordTold> {
        Box::pin(async move { Err(LookUpError::Record(format!("the record {place} is not kept any more"))) })
    }

    fn order(&self, order_id: String) -> LookUpFuture<Option<OrderTimeline>> {
        Box::pin(async move { Ok(order_id.starts_with("0192f3c1-7d").then(|| order(&order_id, ""))) })
    }
}

fn order(order_id: &str, event_id: &str) -> OrderTimeline {
    let step = |seconds: i64, event_type: &str, id: &str| OrderStep {
        at: Utc::now() - TimeDelta::milliseconds(seconds * 1_111),
        event_type: event_type.into(),
        event_id: id.into(),
    };
    OrderTimeline {
        order_id: order_id.into(),
        status: "paid".into(),
        saga: SagaPassport {
            state: Some(SagaState::Stuck),
            wait: Some(SagaWait {
                step: "delivery".into(),
                missing: "DELIVERY_COMPLETED".into(),
                since: Utc::now() - TimeDelta::seconds(331),
                deadline: Some(Utc::now() - TimeDelta::seconds(271)),
            }),
        },
        settled: Vec::new(),
        steps: vec![
            step(300, "ORDER_CREATED", "0192f3c1-aaaa-7abc-8def-0123456789ab"),
            step(
                298,
                "PAYMENT_COMPLETED",
                if event_id.is_empty() { "5f2b8c1e-1111-5abc-8def-0123456789ab" } else { event_id },
            ),
            step(297, "DELIVERY_SCHEDULED", "5f2b8c1e-2222-5abc-8def-0123456789ab"),
        ],
    }
}

fn settings(prefix: &str) -> Settings {
    let setting =
        |key: &str, value: &str, source: &str| SettingRow { key: key.into(), value: value.into(), source: source.into() };
    Settings {
        route_prefix: prefix.into(),
        max_streams: 24,
        effective: vec![
            setting("kafka", "10.0.0.5:9092", "flag"),
            setting("redis", "redis://default:<redacted>@10.0.0.8:6379", "environment"),
            setting("interval", "1s", "flag"),
            setting("stalled-after", "1m", "default"),
        ],
        notice: None,
        ..Settings::default()
    }
}

fn scenario_named(name: &str) -> Option<Scenario> {
    Some(match name {
        "normal" => Scenario::Normal,
        "starting" => Scenario::Starting,
        "empty" => Scenario::Empty,
        "down" => Scenario::Down,
        "unread" => Scenario::Unread,
        "troubled" => Scenario::Troubled,
        "two" => Scenario::Two,
        "calm" => Scenario::Calm,
        _ => return None,
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".into());
    let prefix = arguments.next().unwrap_or_default();
    let stop = CancellationToken::new();
    let published = Published::new(view(Scenario::Normal, 1, Utc::now()), Box::new(MadeUpCharts));
    let process = ProcessMetrics::new().context("metrics")?;
    // Nobody listens there: a test of it fails, which the page says.
    let receiver = ReceiverConfig {
        name: "on-call".to_owned(),
        url: SecretString::from("http://127.0.0.1:9/".to_owned()),
        send_resolved: true,
        repeat_interval: None,
    };
    let receivers = Notifier::start(&[receiver], None, &process, &TaskTracker::new(), &stop)?;
    let dashboard = DashboardState::new(published.clone(), settings(&prefix), process.clone(), stop.clone())
        .with_look_up(Arc::new(MadeUpLookUp(published.clone())))
        .with_receivers(Arc::new(receivers))
        .with_metrics(|| {
            let mut out = TextWriter::compressing();
            out.text("# made up\n");
            let (gzip, text_bytes) = out.finish_compressed();
            Box::pin(async move { PreparedMetrics { gzip, text_bytes, series: 0, dropped: 0 } })
        });

    let scenario = Arc::new(Mutex::new(Scenario::Normal));
    let paused = Arc::new(AtomicBool::new(false));
    let publish = {
        let (published, scenario) = (published.clone(), scenario.clone());
        move || {
            let tick = published.latest().tick + 1;
            let scenario = *scenario.lock().unwrap_or_else(PoisonError::into_inner);
            published.publish(view(scenario, tick, Utc::now()));
        }
    };
    let ticking = {
        let (paused, publish) = (paused.clone(), publish.clone());
        async move {
            let mut interval = tokio::time::interval(TICK);
            loop {
                interval.tick().await;
                if !paused.load(Ordering::Relaxed) {
                    publish();
                }
            }
        }
    };
    tokio::spawn(ticking);

    let control = Router::new()
        .route("/fixture/streams", get(move || async move { process.live_streams().get().to_string() }))
        .route(
            "/fixture/pause",
            post({
                let paused = paused.clone();
                move || async move { paused.fetch_xor(true, Ordering::Relaxed).to_string() }
            }),
        )
        .route(
            "/fixture/scenario/{name}",
            post(move |Path(name): Path<String>| async move {
                let Some(wanted) = scenario_named(&name) else { return StatusCode::NOT_FOUND };
                *scenario.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
                publish();
                StatusCode::NO_CONTENT
            }),
        );
    let app = control.fallback_service(router(dashboard));
    let listener = TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("http://{}{prefix}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
            stop.cancel();
        })
        .await?;
    Ok(())
}
