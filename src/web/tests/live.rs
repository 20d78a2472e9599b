use super::{fixture::Scenario, *};
use axum::body::BodyDataStream;
use futures_util::StreamExt;
use std::time::Duration;

/// One open stream, read event by event.
struct Stream {
    body: BodyDataStream,
    buffer: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: String,
}

impl Stream {
    async fn open(dashboard: &Dashboard, query: &str) -> Self {
        let request = Request::get(format!("/stream?{query}")).body(Body::empty()).unwrap();
        let response = dashboard.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), buffer: String::new() }
    }

    /// The next event; `None` once the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        while !self.buffer.contains("\n\n") {
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.expect("an event in time")?;
            self.buffer.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
        let (text, rest) = self.buffer.split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        self.buffer = rest;
        let field = |name: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect::<Vec<_>>().join("\n")
        };
        Some(Event { name: field("event"), id: field("id"), data: field("data") })
    }

    /// Everything up to the next tick: the joined fragments.
    async fn until_tick(&mut self) -> String {
        let mut fragments = String::new();
        loop {
            let event = self.next().await.unwrap();
            match event.name.as_str() {
                "tick" => return fragments,
                "" => fragments.push_str(&event.data),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn a_stream_begins_with_the_full_state_and_then_sends_what_changed() {
    let dashboard = dashboard(Scenario::Normal);
    let mut stream = Stream::open(&dashboard, "view=overview").await;
    let first = stream.until_tick().await;
    for id in ["trouble", "firing", "verdict", "tiles", "flow", "attention", "keep", "happened"] {
        assert!(first.contains(&format!("id=\"{id}\"")), "{id}");
    }
    // The same view again, with another tick: nothing but the tick is sent.
    dashboard.published.publish(crate::monitor::view::View { tick: 2, ..view(Scenario::Normal, 1, noon()) });
    assert_eq!(stream.until_tick().await, "");
    dashboard.publish(Scenario::Down, 3);
    let changed = stream.until_tick().await;
    assert!(changed.contains("id=\"trouble\"") && changed.contains("cannot be read"));
}

#[tokio::test]
async fn the_first_message_is_left_out_when_the_page_is_current() {
    let dashboard = dashboard(Scenario::Normal);
    let page = dashboard.get("/").await.body;
    let since = page.split("data-since=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut current = Stream::open(&dashboard, &format!("view=overview&since={since}")).await;
    assert_eq!(current.until_tick().await, "");
    let mut old = Stream::open(&dashboard, "view=overview&since=0-1").await;
    assert!(old.until_tick().await.contains("id=\"verdict\""));
}

#[tokio::test]
async fn every_message_names_its_position_and_every_tick_its_time() {
    let dashboard = dashboard(Scenario::Normal);
    let mut stream = Stream::open(&dashboard, "view=flow").await;
    let message = stream.next().await.unwrap();
    assert!(message.id.ends_with("-1"));
    let tick = stream.next().await.unwrap();
    assert_eq!(tick.name, "tick");
    let tick: serde_json::Value = serde_json::from_str(&tick.data).unwrap();
    assert_eq!((tick["at"].as_i64(), tick["every"].as_i64()), (Some(noon().timestamp_millis()), Some(1_000)));
}

#[tokio::test]
async fn a_table_sends_the_rows_that_changed_and_not_its_body() {
    let dashboard = dashboard(Scenario::Normal);
    let mut stream = Stream::open(&dashboard, "view=group&cluster=local&group=delivery-service&tab=partitions").await;
    assert!(stream.until_tick().await.contains("<tbody id=\"rows\" "));
    dashboard.publish(Scenario::Normal, 2);
    let changed = stream.until_tick().await;
    assert!(changed.contains("<tr id=\"p-") && !changed.contains("<tbody"));
}

#[tokio::test]
async fn rows_keep_the_order_in_which_the_stream_began_and_the_page_says_so() {
    let dashboard = dashboard(Scenario::Normal);
    let mut stream = Stream::open(&dashboard, "view=groups&sort=lag&dir=desc&q=service").await;
    let first = stream.until_tick().await;
    let began: Vec<&str> = first.split("<tr id=\"").skip(1).map(|row| row.split('"').next().unwrap()).collect();
    assert!(began.len() > 2);
    // The group that begins first is changed to be the last one.
    let mut next = view(Scenario::Normal, 2, noon());
    let mut cluster = crate::monitor::view::ClusterView::clone(&next.clusters[0]);
    for group in &mut cluster.groups {
        if &*group.id == "payment-service" {
            Arc::make_mut(group).lag = crate::lag::Reading::Known(1);
        }
    }
    next.clusters = vec![Arc::new(cluster)];
    dashboard.published.publish(next);
    let seen = stream.until_tick().await;
    assert!(!seen.contains("<tbody"), "the body is never sent again");
    let now: Vec<&str> = seen.split("<tr id=\"").skip(1).map(|row| row.split('"').next().unwrap()).collect();
    assert_eq!(now[0], began[0], "the row stays in its place with its new number");
    assert!(seen.contains("The order has changed") && seen.contains("Sort again"));
    assert!(seen.contains("/groups?q=service&#38;sort=lag&#38;dir=desc"));
}

#[tokio::test]
async fn a_group_page_gets_the_newest_point_of_its_chart() {
    let dashboard = dashboard(Scenario::Normal);
    let mut stream = Stream::open(&dashboard, "view=group&cluster=local&group=payment-service").await;
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != "tick") {
        let event = stream.next().await.unwrap();
        if event.name == "point" {
            let point: Vec<Option<f64>> = serde_json::from_str(&event.data).unwrap();
            assert_eq!(point.len(), 4);
        }
        names.push(event.name);
    }
    assert!(names.contains(&"point".to_owned()));
}

#[tokio::test]
async fn streams_have_a_cap_and_a_closed_one_gives_its_place_back() {
    let settings = Settings { max_streams: 1, ..Settings::default() };
    let dashboard = dashboard_with(Scenario::Normal, settings, |state| state);
    let stream = Stream::open(&dashboard, "view=overview").await;
    assert_eq!(dashboard.process.live_streams().get(), 1);
    let refused = dashboard.get("/stream?view=overview").await;
    assert_eq!((refused.code, refused.header(header::RETRY_AFTER)), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    drop(stream);
    assert_eq!(dashboard.process.live_streams().get(), 0);
    Stream::open(&dashboard, "view=overview").await;
}

#[tokio::test]
async fn a_stream_ends_when_the_process_is_stopped() {
    let dashboard = dashboard(Scenario::Normal);
    let mut stream = Stream::open(&dashboard, "view=overview").await;
    stream.until_tick().await;
    dashboard.stop.cancel();
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn two_streams_of_one_page_share_what_is_rendered() {
    let dashboard = dashboard(Scenario::Normal);
    let latest = dashboard.published.latest();
    let params = super::super::params::Params::parse(Some("view=overview"));
    let with_since = super::super::params::Params::parse(Some("view=overview&since=1"));
    let first = dashboard.state.fragments.get(&dashboard.state, &latest, &params).unwrap();
    let second = dashboard.state.fragments.get(&dashboard.state, &latest, &with_since).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
}

#[tokio::test]
async fn a_group_that_is_gone_leaves_its_stream_alive() {
    let dashboard = dashboard(Scenario::Normal);
    let mut stream = Stream::open(&dashboard, "view=group&cluster=local&group=invoice-pdf").await;
    stream.until_tick().await;
    dashboard.publish(Scenario::Calm, 2);
    assert_eq!(stream.until_tick().await, "");
}

#[tokio::test]
async fn every_live_view_has_every_fragment_that_it_sends_on_its_page() {
    let dashboard = dashboard(Scenario::Normal);
    for path in [
        "/",
        "/groups",
        "/groups/local/payment-service",
        "/topics",
        "/topics/local/orders",
        "/duplicates",
        "/flow",
        "/alerts",
        "/status",
    ] {
        let page = dashboard.get(path).await.body;
        let live = page.split("data-live=\"").nth(1).unwrap().split('"').next().unwrap();
        let mut stream = Stream::open(&dashboard, unescape(live).trim_start_matches("/stream?")).await;
        let message = stream.next().await.unwrap();
        let params = super::super::params::Params::parse(unescape(live).split_once('?').map(|(_, query)| query));
        let rendered = dashboard.state.fragments.get(&dashboard.state, &dashboard.published.latest(), &params).unwrap();
        for part in &rendered.parts {
            assert!(page.contains(&format!("id=\"{}\"", part.id)), "{path}: {}", part.id);
            assert!(part.html.contains(&format!("id=\"{}\"", part.id)), "{path}: {}", part.id);
        }
        assert!(!message.data.is_empty(), "{path}");
    }
}
