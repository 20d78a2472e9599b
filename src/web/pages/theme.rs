//! `POST /theme`: keeps the choice in a cookie and goes back.

use super::super::{
    frame::{THEME_COOKIE, Theme},
    links::segment,
    reply,
    state::DashboardState,
};
use axum::{
    Form,
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Choice {
    to: String,
    #[serde(default)]
    back: String,
}

pub async fn choose(State(dashboard): State<DashboardState>, Form(choice): Form<Choice>) -> Response {
    let prefix = dashboard.links.prefix();
    // Only a path of ours: `//host` and `/\host` would lead elsewhere.
    let ours =
        choice.back.starts_with(&format!("{prefix}/")) && !choice.back.starts_with("//") && !choice.back.contains('\\');
    let home = dashboard.links.to("/");
    let mut response = reply::redirect(if ours { &choice.back } else { &home });
    let path = match prefix {
        "" => "/".to_owned(),
        prefix => prefix.split('/').map(segment).collect::<Vec<_>>().join("/"),
    };
    let theme = Theme::parse(&choice.to).label();
    let cookie = format!("{THEME_COOKIE}={theme}; Path={path}; Max-Age=31536000; SameSite=Lax; HttpOnly");
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}
