//! Answers: a page, a value as JSON, a list as CSV, a redirect, an error page.

use super::{
    cell::{Markup, with_links},
    frame::{Frame, Page, Section, Visit},
    links::with_query,
    state::DashboardState,
};
use askama::Template;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

pub fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(body) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "this page could not be rendered\n").into_response()
        }
    }
}

pub fn json(value: &impl Serialize) -> Response {
    Json(value).into_response()
}

/// 303, with a `Location` that was built by [`super::links`].
pub fn redirect(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// A form that was sent without JavaScript leaves empty fields in the address: redirects to the address without them.
pub fn canonical(dashboard: &DashboardState, visit: &Visit) -> Option<Response> {
    let query = visit.params.without_empty()?;
    Some(redirect(&dashboard.links.to(&with_query(&visit.path, &query))))
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    f: Frame,
    text: String,
    steps: Vec<Markup>,
}

/// A page that says what is missing and what to do next; a step may lead somewhere, as in `See [the groups](/groups).`
pub fn message(
    dashboard: &DashboardState,
    visit: &Visit,
    code: StatusCode,
    title: &str,
    text: String,
    steps: &[&'static str],
) -> Response {
    let view = dashboard.published.latest();
    if visit.params.get("format") == "json" {
        return (code, Json(serde_json::json!({ "title": title, "status": code.as_u16(), "detail": text }))).into_response();
    }
    let f = Frame::new(dashboard, &view, visit, Page { title, section: Section::None, live: None, chart: false });
    let steps = steps.iter().map(|step| with_links(step, &f.links)).collect();
    let mut response = html(&MessagePage { f, text, steps });
    *response.status_mut() = code;
    response
}
