//! Pieces of HTML that are safe by construction: escaped text, a value that may be unknown, a time.

use super::{links::Links, words};
use crate::lag::Reading;
use crate::monitor::view::Tone;
use askama::filters::HtmlSafe;
use chrono::{DateTime, Utc};
use std::fmt::{self, Write};

/// Markup that is already escaped. Only this module and [`super::svg`] make it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markup(String);

impl Markup {
    pub(super) fn trusted(html: String) -> Self {
        Self(html)
    }

    /// What a template makes, which escapes by itself; nothing when it cannot be rendered.
    pub fn rendered(template: &impl askama::Template) -> Self {
        Self(template.render().unwrap_or_else(|error| {
            tracing::error!(%error, "part of a page could not be rendered");
            String::new()
        }))
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Markup {}

/// Writes `text` with the five characters that mean something in HTML replaced.
pub fn escape(text: &str, out: &mut impl Write) -> fmt::Result {
    for c in text.chars() {
        match c {
            '&' => out.write_str("&amp;")?,
            '<' => out.write_str("&lt;")?,
            '>' => out.write_str("&gt;")?,
            '"' => out.write_str("&quot;")?,
            '\'' => out.write_str("&#39;")?,
            _ => out.write_char(c)?,
        }
    }
    Ok(())
}

/// A sentence of ours in which `[words](/path)` leads to a page of the dashboard.
pub fn with_links(text: &'static str, links: &Links) -> Markup {
    let mut html = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, words, path, after)) = next_link(rest) {
        let _infallible = escape(before, &mut html);
        html.push_str("<a href=\"");
        let _infallible = escape(&links.to(path), &mut html);
        html.push_str("\">");
        let _infallible = escape(words, &mut html);
        html.push_str("</a>");
        rest = after;
    }
    let _infallible = escape(rest, &mut html);
    Markup(html)
}

fn next_link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, from) = text.split_once('[')?;
    let (words, from) = from.split_once("](")?;
    let (path, after) = from.split_once(')')?;
    Some((before, words, path, after))
}

/// One value in a table, a fact or a tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    Text(String),
    /// A value that is coloured.
    Toned(String, Tone),
    /// A value of no interest, in grey.
    Quiet(String),
    /// A value with words about it, which are read aloud and shown on hover.
    Noted(String, String),
    /// An em dash; the reason is read aloud and shown on hover.
    Unknown(String),
}

impl Cell {
    pub fn of<T>(reading: &Reading<T>, text: impl FnOnce(&T) -> String) -> Self {
        match reading {
            Reading::Known(value) => Self::Text(text(value)),
            Reading::Unknown(reason) => Self::Unknown(format!("Unknown: {reason}")),
        }
    }

    pub fn count(reading: &Reading<u64>) -> Self {
        Self::of(reading, |&n| words::count(n))
    }

    /// Colours a known value.
    pub fn toned(self, tone: Tone) -> Self {
        match (self, tone) {
            (Self::Text(text), Tone::Bad | Tone::Warn) => Self::Toned(text, tone),
            (cell, _) => cell,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => escape(text, f),
            Self::Toned(text, tone) => {
                write!(f, r#"<b class="t-{}">"#, tone_class(*tone))?;
                escape(text, f)?;
                f.write_str("</b>")
            }
            Self::Quiet(text) => {
                f.write_str(r#"<span class="none">"#)?;
                escape(text, f)?;
                f.write_str("</span>")
            }
            Self::Noted(text, note) => {
                f.write_str(r#"<span title=""#)?;
                escape(note, f)?;
                f.write_str(r#"">"#)?;
                escape(text, f)?;
                f.write_str(r#"<span class="vh"> "#)?;
                escape(note, f)?;
                f.write_str("</span></span>")
            }
            Self::Unknown(reason) => {
                f.write_str(r#"<span class="none" title=""#)?;
                escape(reason, f)?;
                f.write_str(r#""><span aria-hidden="true">—</span><span class="vh">"#)?;
                escape(reason, f)?;
                f.write_str("</span></span>")
            }
        }
    }
}

impl HtmlSafe for Cell {}

pub const fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Ok => "ok",
        Tone::Info => "info",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
        Tone::Mute => "mute",
    }
}

/// `<time datetime="...">text</time>` with the full stamp on hover.
pub fn time(at: DateTime<Utc>, text: &str) -> Markup {
    let mut html = format!(r#"<time datetime="{}" title="{}">"#, words::iso(at), words::stamp(at));
    let _infallible = escape(text, &mut html);
    html.push_str("</time>");
    Markup(html)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::UnknownReason;

    #[test]
    fn an_unknown_value_is_a_dash_with_its_reason_and_never_a_zero() {
        let html = Cell::count(&Reading::Unknown(UnknownReason::NoLeader)).to_string();
        assert!(html.contains('—') && html.contains("no leader") && !html.contains('0'));
    }

    #[test]
    fn a_sentence_leads_to_pages_below_the_prefix() {
        let html = with_links("See <b> [the list](/groups?a=1&b=2), or [the start](/).", &Links::new("/tm")).to_string();
        let list = "<a href=\"/tm/groups?a=1&amp;b=2\">the list</a>";
        assert_eq!(html, format!("See &lt;b&gt; {list}, or <a href=\"/tm/\">the start</a>."));
        assert_eq!(with_links("a [b] (c)", &Links::new("")).to_string(), "a [b] (c)");
    }

    #[test]
    fn text_in_a_cell_is_escaped() {
        assert_eq!(Cell::Text("<b>\"'&".into()).to_string(), "&lt;b&gt;&quot;&#39;&amp;");
        assert!(!Cell::Unknown("<script>".into()).to_string().contains("<script>"));
    }
}
