//! `/runbooks/{alert}`: what to do about an alert, from the files of the project, so that it can be read where nothing else
//! can be reached.

use super::super::{
    cell::{Markup, escape},
    frame::{Frame, Page, Section as NavSection, Visit},
    links::Links,
    reply,
    state::DashboardState,
};
use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

macro_rules! runbooks {
    ($($alert:ident,)*) => {
        [$((stringify!($alert), include_str!(concat!("../../../docs/runbooks/", stringify!($alert), ".md")))),*]
    };
}

const RUNBOOKS: [(&str, &str); 34] = runbooks! {
    DeadLetters,
    DuplicateDeliveryRatioHigh,
    DuplicateProcessing,
    EventIdConflict,
    KafkaConsumerBeyondEnd,
    KafkaConsumerDrainTooSlow,
    KafkaConsumerFallingBehind,
    KafkaConsumerGroupDown,
    KafkaConsumerLagHigh,
    KafkaConsumerMessagesLost,
    KafkaConsumerOffsetsRewound,
    KafkaConsumerRebalanceStorm,
    KafkaConsumerRetentionRisk,
    KafkaConsumerStalled,
    KafkaConsumerTimeLagHigh,
    KafkaTransactionHung,
    LedgerClockBehind,
    LedgerDown,
    LedgerForgot,
    LedgerGrantOverdue,
    LedgerImbalance,
    LedgerLostCalls,
    LedgerWindowCannotCover,
    LedgerWindowNearlyExceeded,
    LedgerWindowShorterThanRetention,
    OutboxNotDraining,
    SagaNeedsHuman,
    SagaStuck,
    TidemarkAbsent,
    TidemarkDataStale,
    TidemarkDown,
    TidemarkKafkaDown,
    TidemarkNotificationsFailing,
    TidemarkReadPartial,
};

/// Where the runbook of an alert is; `None` where it has none.
pub fn href(links: &Links, alert: &str) -> Option<String> {
    text(alert).map(|_| links.to(&format!("/runbooks/{alert}")))
}

fn text(alert: &str) -> Option<&'static str> {
    RUNBOOKS.iter().find(|(name, _)| *name == alert).map(|(_, text)| *text)
}

struct Section {
    title: &'static str,
    paragraphs: Vec<Markup>,
    items: Vec<Markup>,
}

/// What the files use of Markdown: sections, paragraphs and items of one line, code, links.
fn sections(text: &'static str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            sections.push(Section { title, paragraphs: Vec::new(), items: Vec::new() });
            continue;
        }
        let Some(section) = sections.last_mut() else { continue };
        match line.strip_prefix("- ") {
            Some(item) => section.items.push(inline(item)),
            None if line.is_empty() => {}
            None => section.paragraphs.push(inline(line)),
        }
    }
    sections
}

/// Code between backticks; of a link, which leads to another file of the project, the words.
fn inline(line: &str) -> Markup {
    let mut html = String::with_capacity(line.len());
    for (index, part) in line.split('`').enumerate() {
        let is_code = index % 2 == 1;
        html.push_str(if is_code { "<code>" } else { "" });
        let _infallible = if is_code { escape(part, &mut html) } else { escape(&without_links(part), &mut html) };
        html.push_str(if is_code { "</code>" } else { "" });
    }
    Markup::trusted(html)
}

fn without_links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('[') {
        let Some((words, target)) = from.split_once("](") else { break };
        let Some((_, after)) = target.split_once(')') else { break };
        out.push_str(before);
        out.push_str(words);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[derive(Template)]
#[template(path = "runbook.html")]
struct RunbookPage {
    f: Frame,
    alert: &'static str,
    sections: Vec<Section>,
    /// Where its alerts are listed.
    alerts: String,
}

pub async fn page(State(dashboard): State<DashboardState>, Path(alert): Path<String>, visit: Visit) -> Response {
    // `tidemark rules --runbook-base` puts the file's name behind what it is given.
    let wanted = alert.strip_suffix(".md").unwrap_or(&alert);
    let found = RUNBOOKS.iter().find(|(name, _)| *name == wanted);
    let Some((alert, text)) = found else {
        let (title, text) = ("There is no such runbook", "No alert has this name.".to_owned());
        return reply::message(
            &dashboard,
            &visit,
            StatusCode::NOT_FOUND,
            title,
            text,
            &["[The alerts](/alerts) have their names."],
        );
    };
    let view = dashboard.published.latest();
    let frame = Page { title: alert, section: NavSection::Alerts, live: None, chart: false };
    let f = Frame::new(&dashboard, &view, &visit, frame);
    reply::html(&RunbookPage { alerts: f.links.to(&super::alerts::path_of(alert)), f, alert, sections: sections(text) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::alerts::definitions;

    #[test]
    fn every_alert_has_its_runbook_here_and_every_section_something_to_say() {
        let links = Links::new("/tm");
        for definition in definitions() {
            let href = href(&links, definition.name);
            assert_eq!(href, Some(format!("/tm/runbooks/{}", definition.name)));
            let sections = sections(text(definition.name).unwrap());
            assert_eq!(sections.len(), 3, "{}", definition.name);
            assert!(sections.iter().all(|section| !section.paragraphs.is_empty() || !section.items.is_empty()));
        }
        assert_eq!(RUNBOOKS.len(), definitions().len());
        assert_eq!(href(&links, "Nothing"), None);
    }

    #[test]
    fn nothing_of_a_line_is_taken_for_markup_but_code() {
        let html = inline("a <b> `x <y> [z](w)` see [the sagas](../sagas.md), [1, 2]").to_string();
        assert_eq!(html, "a &lt;b&gt; <code>x &lt;y&gt; [z](w)</code> see the sagas, [1, 2]");
    }
}
