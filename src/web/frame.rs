//! The frame around every page: who asks, how, and what the top bar and the banner say.

use super::{
    cell::Markup,
    links::{Links, with_query},
    params::Params,
    state::DashboardState,
    words,
};
use crate::monitor::view::{AlertState, View};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use std::convert::Infallible;

/// One request for a page.
pub struct Visit {
    pub params: Params,
    /// Below the prefix, without the query.
    pub path: String,
    pub raw_query: String,
    /// The name under which we were asked; empty where the request has none.
    pub host: String,
    pub theme: Theme,
}

impl Visit {
    /// A visit of the stream: it renders the same fragments, and the frame is not sent.
    pub fn of_stream(params: Params) -> Self {
        Self { params, path: String::new(), raw_query: String::new(), host: String::new(), theme: Theme::Auto }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            params: Params::parse(parts.uri.query()),
            path: parts.uri.path().to_owned(),
            raw_query: parts.uri.query().unwrap_or("").to_owned(),
            host: parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned(),
            theme: Theme::of(&parts.headers),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Auto,
    Light,
    Dark,
}

pub const THEME_COOKIE: &str = "tidemark_theme";

impl Theme {
    pub fn parse(text: &str) -> Self {
        match text {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::Auto,
        }
    }

    fn of(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let found = cookies
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == THEME_COOKIE);
        found.map_or(Self::Auto, |(_, value)| Self::parse(value))
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Auto => Self::Dark,
            Self::Dark => Self::Light,
            Self::Light => Self::Auto,
        }
    }
}

pub struct NavItem {
    pub href: String,
    pub word: &'static str,
    pub key: &'static str,
    pub current: bool,
}

/// Which entry of the navigation a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Overview,
    Groups,
    Topics,
    Duplicates,
    Flow,
    Alerts,
    Status,
    None,
}

const NAV: [(Section, &str, &str, &str); 7] = [
    (Section::Overview, "/", "Overview", "o"),
    (Section::Groups, "/groups", "Groups", "g"),
    (Section::Topics, "/topics", "Topics", "p"),
    (Section::Duplicates, "/duplicates", "Duplicates", "d"),
    (Section::Flow, "/flow", "Flow", "f"),
    (Section::Alerts, "/alerts", "Alerts", "a"),
    (Section::Status, "/status", "Status", "s"),
];

/// What a page is called and how it is kept live.
pub struct Page<'a> {
    pub title: &'a str,
    pub section: Section,
    /// Name of the live view and the query that selects what it shows; `None` for a page that does not change.
    pub live: Option<(&'static str, String)>,
    pub chart: bool,
}

pub struct Frame {
    pub links: Links,
    pub title: String,
    pub theme: &'static str,
    pub next_theme: &'static str,
    pub nav: Vec<NavItem>,
    /// This page, for the way back from the theme switch and the "refresh" link.
    pub here: String,
    pub live: String,
    pub since: String,
    pub refresh: usize,
    pub chart: bool,
    /// When the data were read.
    pub data_at: Option<DataTime>,
    pub every_ms: u128,
    pub firing: Markup,
    pub trouble: Markup,
    pub notice: Option<String>,
    pub asset: AssetUrls,
}

/// A time for scripts and for people.
pub struct DataTime {
    pub ms: i64,
    pub iso: String,
    pub clock: String,
}

pub struct AssetUrls {
    pub css: String,
    pub uplot_css: String,
    pub font: String,
    pub icon: String,
    pub idiomorph: String,
    pub uplot: String,
    pub app: String,
    pub live: String,
}

impl Frame {
    pub fn new(dashboard: &DashboardState, view: &View, visit: &Visit, page: Page<'_>) -> Self {
        let links = dashboard.links.clone();
        let at = super::pages::trouble::data_time(view);
        let live = page.live.map_or_else(String::new, |(name, query)| {
            let view = super::links::query(&[("view", name)]);
            links.to(&format!("/stream?{view}{}{query}", if query.is_empty() { "" } else { "&" }))
        });
        let nav = NAV.map(|(section, path, word, key)| NavItem {
            href: links.to(path),
            word,
            key,
            current: section == page.section,
        });
        let asset = |name| dashboard.assets.url(name);
        Self {
            title: words::shown(page.title).into_owned(),
            theme: visit.theme.label(),
            next_theme: visit.theme.next().label(),
            nav: nav.into(),
            here: links.to(&with_query(&visit.path, &visit.raw_query)),
            live,
            since: super::live::position(view),
            refresh: visit.params.number("refresh").filter(|seconds| (1..=3_600).contains(seconds)).unwrap_or(0),
            chart: page.chart,
            data_at: at.map(|at| DataTime { ms: at.timestamp_millis(), iso: words::iso(at), clock: words::clock(at) }),
            every_ms: every(view),
            firing: firing(view),
            trouble: super::pages::trouble::markup(view),
            notice: dashboard.settings.notice.clone(),
            asset: AssetUrls {
                css: asset("app.css"),
                uplot_css: asset("uplot.css"),
                font: asset("inter.woff2"),
                icon: asset("icon.svg"),
                idiomorph: asset("idiomorph.js"),
                uplot: asset("uplot.js"),
                app: asset("app.js"),
                live: asset("live.js"),
            },
            links,
        }
    }
}

/// The longest interval of any cluster in milliseconds: the pill calls data stale after five of them.
pub fn every(view: &View) -> u128 {
    view.clusters.iter().map(|cluster| cluster.interval.as_millis()).max().unwrap_or(10_000).max(1)
}

/// The number of firing alerts beside "Alerts".
pub fn firing(view: &View) -> Markup {
    let firing = view.alerts.iter().filter(|alert| alert.state == AlertState::Firing).count() as u64;
    Markup::trusted(match firing {
        0 => r#"<span id="firing"></span>"#.into(),
        n => format!(r#"<span id="firing" class="badge">{}<span class="vh"> firing</span></span>"#, words::count(n)),
    })
}
