//! Dead letters on pages: how many lie where, and the command that tells them.

use super::super::{cell::Cell, links::Links, words};
use crate::lag::Reading;
use crate::monitor::view::{ClusterView, View};
use crate::replay::shell_word;

/// Dead-letter topics that are named one by one.
const NAMED: usize = 4;

/// The letters of all clusters.
pub struct Letters {
    pub sentence: String,
    pub boxes: Vec<BoxRow>,
    pub hidden: usize,
    pub command: String,
}

pub struct BoxRow {
    pub topic: String,
    pub href: String,
    pub letters: Cell,
}

/// `None` where no dead-letter topic holds a letter, and none is unknown.
pub fn of_all(view: &View, links: &Links) -> Option<Letters> {
    let boxes =
        || view.clusters.iter().flat_map(|cluster| cluster.letter_boxes().into_iter().map(move |one| (cluster, one)));
    let mut full: Vec<_> = boxes().filter(|(_, one)| one.letters() != Reading::Known(0)).collect();
    let (first, _) = full.first()?;
    let command = list_command(first, None);
    full.sort_by_key(|(_, one)| std::cmp::Reverse(one.letters().known()));
    let sum: u64 = full.iter().filter_map(|(_, one)| one.letters().known()).sum();
    let unknown = full.iter().filter(|(_, one)| one.letters().known().is_none()).count() as u64;
    let mut sentence = match sum {
        0 => String::new(),
        n => format!(
            "{} in {}.",
            words::plural(n, "dead letter lies", "dead letters lie"),
            words::plural(full.len() as u64 - unknown, "topic", "topics")
        ),
    };
    if unknown > 0 {
        let topics = words::plural(unknown, "dead-letter topic", "dead-letter topics");
        sentence = format!("{sentence} How many lie in {topics} is not known.").trim_start().to_owned();
    }
    let rows = full.iter().take(NAMED).map(|(cluster, one)| BoxRow {
        topic: words::shown(&one.topic.name).into_owned(),
        href: links.topic(&cluster.name, &one.topic.name),
        letters: Cell::count(&one.letters()),
    });
    Some(Letters { sentence, boxes: rows.collect(), hidden: full.len().saturating_sub(NAMED), command })
}

/// What the group gave up and still lies there; empty where there is nothing, and where it has no dead-letter topic.
pub fn of_group(cluster: &ClusterView, group: &str) -> Option<(String, String)> {
    let sentence = match cluster.letters_of(group)? {
        Reading::Known(0) => return None,
        Reading::Known(n) => format!(
            "It gave up {}: {} in its dead-letter topics.",
            words::plural(n, "event", "events"),
            if n == 1 { "it lies" } else { "they lie" }
        ),
        Reading::Unknown(why) => format!("How many events lie in its dead-letter topics is not known: {why}."),
    };
    Some((sentence, list_command(cluster, Some(group))))
}

fn list_command(cluster: &ClusterView, group: Option<&str>) -> String {
    let of_group = group.map_or_else(String::new, |group| format!(" --group {}", shell_word(group)));
    format!("tidemark dlt list --kafka {}{of_group}", shell_word(&cluster.bootstrap))
}
