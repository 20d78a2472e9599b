//! Addresses of pages: the path prefix, percent-encoding, and names that a path cannot carry.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;

/// Everything but the characters that RFC 3986 calls unreserved.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Builds addresses below the configured path prefix.
#[derive(Clone, Debug)]
pub struct Links {
    /// Empty, or a path that begins with `/` and does not end with one.
    prefix: Arc<str>,
}

impl Links {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.trim_end_matches('/').into() }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `path` begins with `/`.
    pub fn to(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    pub fn group(&self, cluster: &str, group: &str) -> String {
        self.named("groups", "group", cluster, group)
    }

    pub fn topic(&self, cluster: &str, topic: &str) -> String {
        self.named("topics", "topic", cluster, topic)
    }

    pub fn event(&self, id: &str) -> String {
        match carried_by_path(id) {
            true => format!("{}/events/{}", self.prefix, segment(id)),
            false => format!("{}/events?{}", self.prefix, query(&[("id", id)])),
        }
    }

    /// As [`Self::event`], with the record's key: it narrows the look-up to one shard and names the order.
    pub fn event_with_key(&self, id: &str, key: &str) -> String {
        let page = self.event(id);
        let joint = if page.contains('?') { '&' } else { '?' };
        format!("{page}{joint}{}", query(&[("key", key)]))
    }

    fn named(&self, list: &str, parameter: &str, cluster: &str, name: &str) -> String {
        let cluster = segment(cluster);
        match carried_by_path(name) {
            true => format!("{}/{list}/{cluster}/{}", self.prefix, segment(name)),
            false => format!("{}/{list}/{cluster}?{}", self.prefix, query(&[(parameter, name)])),
        }
    }
}

/// Browsers and proxies resolve `.` and `..` even when they are encoded, and drop empty segments.
pub fn carried_by_path(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
}

pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// A query string of the pairs, encoded; pairs with an empty value stay out unless they are the only one.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (key, value) in pairs.iter().filter(|(_, value)| !value.is_empty() || pairs.len() == 1) {
        out.append_pair(key, value);
    }
    out.finish()
}

/// `path`, and `?query` where there is one.
pub fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// An id for an element that stands for `parts`: names hold characters that an id or a selector cannot.
pub fn element_id(kind: &str, parts: &[&str]) -> String {
    // FNV-1a: stable over restarts and builds, so that a kept page still finds its rows.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{kind}-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_slashes_stays_one_segment() {
        assert_eq!(Links::new("").group("local", "a/b c"), "/groups/local/a%2Fb%20c");
    }

    #[test]
    fn names_that_a_path_cannot_carry_go_into_the_query() {
        let links = Links::new("/tm/");
        assert_eq!(links.group("local", ".."), "/tm/groups/local?group=..");
        assert_eq!(links.topic("local", ""), "/tm/topics/local?topic=");
        assert_eq!(links.event("."), "/tm/events?id=.");
    }

    #[test]
    fn element_ids_differ_where_joined_names_would_not() {
        assert_ne!(element_id("g", &["a", "bc"]), element_id("g", &["ab", "c"]));
    }
}
