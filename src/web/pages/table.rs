//! What every list has: a query that lives in the address, sortable heads, chips that filter, and a pager.

use super::super::{
    cell::Markup,
    links::{Links, with_query},
    params::Params,
    words,
};

/// Rows of a page whose address does not say.
pub const PER_PAGE: usize = 50;
/// Rows that one page may show.
pub const PER_PAGE_CHOICES: [usize; 4] = [25, 50, 100, 200];

/// The state of a list, as its address says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    filters: Vec<(&'static str, String)>,
    /// Empty for the list's own order.
    pub sort: String,
    pub descending: bool,
    /// From 1 on.
    pub page: usize,
    pub per: usize,
}

impl ListQuery {
    /// Reads the known `filters`; a sort key that is none of `sorts` is ignored.
    pub fn read(params: &Params, filters: &[&'static str], sorts: &[&'static str]) -> Self {
        let sort = params.get("sort");
        let sort = if sorts.contains(&sort) { sort } else { "" };
        Self {
            filters: filters.iter().map(|&key| (key, params.get(key).to_owned())).collect(),
            sort: sort.to_owned(),
            descending: params.get("dir") == "desc",
            page: params.number("page").unwrap_or(1).max(1),
            per: params.number("per").unwrap_or(PER_PAGE).clamp(10, 200),
        }
    }

    pub fn filter(&self, key: &str) -> &str {
        self.filters.iter().find(|(k, _)| *k == key).map_or("", |(_, value)| value.as_str())
    }

    /// Whether anything is left out.
    pub fn is_filtered(&self) -> bool {
        self.filters.iter().any(|(_, value)| !value.is_empty())
    }

    /// The same list with one filter changed, from its first page.
    pub fn with(&self, key: &str, value: &str) -> Self {
        let mut query = Self { page: 1, ..self.clone() };
        for (k, v) in &mut query.filters {
            if *k == key {
                value.clone_into(v);
            }
        }
        query
    }

    pub fn on_page(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }

    /// The query string; defaults stay out of it.
    pub fn query(&self) -> String {
        let mut out = form_urlencoded::Serializer::new(String::new());
        for (key, value) in self.filters.iter().filter(|(_, value)| !value.is_empty()) {
            out.append_pair(key, value);
        }
        if !self.sort.is_empty() {
            out.append_pair("sort", &self.sort);
        }
        if self.descending {
            out.append_pair("dir", "desc");
        }
        if self.per != PER_PAGE {
            out.append_pair("per", &self.per.to_string());
        }
        if self.page > 1 {
            out.append_pair("page", &self.page.to_string());
        }
        out.finish()
    }

    pub fn href(&self, links: &Links, path: &str) -> String {
        links.to(&with_query(path, &self.query()))
    }

    /// The slice of `total` rows that this page shows; the page number is corrected to one that exists.
    pub fn slice(&mut self, total: usize) -> std::ops::Range<usize> {
        self.page = self.page.min(total.div_ceil(self.per).max(1));
        let from = (self.page - 1) * self.per;
        from..(from + self.per).min(total)
    }
}

/// Name, class, sort key (empty: not sortable) and whether the first click sorts downwards.
pub struct Column(pub &'static str, pub &'static str, pub &'static str, pub bool);

pub struct Head {
    pub word: &'static str,
    pub class: &'static str,
    pub href: String,
    pub aria: &'static str,
    pub arrow: &'static str,
}

/// Heads that link to the list sorted by them. `own` is the column whose order the list has by itself.
pub fn heads(columns: &[Column], own: &str, query: &ListQuery, links: &Links, path: &str) -> Vec<Head> {
    let head = |&Column(word, class, key, down_first): &Column| {
        let current = !key.is_empty() && if query.sort.is_empty() { key == own } else { query.sort == key };
        let descending = if current { !query.descending } else { down_first };
        let sort = if key == own { String::new() } else { key.to_owned() };
        let next = ListQuery { sort, descending, page: 1, ..query.clone() };
        let (aria, arrow) = match (current, query.descending) {
            (false, _) => ("", ""),
            (true, false) => ("ascending", "↑"),
            (true, true) => ("descending", "↓"),
        };
        Head { word, class, href: if key.is_empty() { String::new() } else { next.href(links, path) }, aria, arrow }
    };
    columns.iter().map(head).collect()
}

/// A link that filters, with the number that it would show.
pub struct Chip {
    pub word: String,
    pub n: String,
    pub href: String,
    pub on: bool,
    pub tone: &'static str,
}

/// One row of a table, rendered; its id is stable while its subject lives.
#[derive(Clone)]
pub struct Row {
    pub id: String,
    pub html: Markup,
}

pub struct Pager {
    pub range: String,
    pub prev: String,
    pub next: String,
}

impl Pager {
    pub fn new(
        query: &ListQuery,
        slice: &std::ops::Range<usize>,
        total: usize,
        nouns: (&str, &str),
        to: (&Links, &str),
    ) -> Self {
        let range = match total {
            0 => format!("0 {}", nouns.1),
            1 => format!("1 {}", nouns.0),
            _ => {
                let number = |n: usize| words::count(n as u64);
                format!("{}–{} of {} {}", number(slice.start + 1), number(slice.end), number(total), nouns.1)
            }
        };
        let link = |page: usize| query.on_page(page).href(to.0, to.1);
        Self {
            range,
            prev: if query.page > 1 { link(query.page - 1) } else { String::new() },
            next: if slice.end < total { link(query.page + 1) } else { String::new() },
        }
    }
}

/// Compares two values that may be unknown; unknown ones come last in both directions.
pub fn compare<T: PartialOrd>(a: Option<T>, b: Option<T>, descending: bool) -> std::cmp::Ordering {
    use std::cmp::Ordering::{Equal, Greater, Less};
    match (a, b) {
        (Some(a), Some(b)) => {
            let order = a.partial_cmp(&b).unwrap_or(Equal);
            if descending { order.reverse() } else { order }
        }
        (Some(_), None) => Less,
        (None, Some(_)) => Greater,
        (None, None) => Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTERS: [&str; 2] = ["q", "status"];

    #[test]
    fn a_list_is_its_address() {
        let raw = "q=a%2Fb+c&status=stalled&sort=lag&dir=desc&per=25&page=3";
        let query = ListQuery::read(&Params::parse(Some(raw)), &FILTERS, &["lag"]);
        assert_eq!(query.query(), raw);
        assert_eq!(ListQuery::read(&Params::parse(Some(&query.query())), &FILTERS, &["lag"]), query);
    }

    #[test]
    fn nonsense_reads_as_the_default() {
        let query = ListQuery::read(&Params::parse(Some("sort=evil&per=9999&page=-1")), &FILTERS, &["lag"]);
        assert_eq!((query.sort.as_str(), query.per, query.page), ("", 200, 1));
    }

    #[test]
    fn a_page_past_the_end_is_the_last_one() {
        let mut query = ListQuery::read(&Params::parse(Some("page=9&per=25")), &FILTERS, &[]);
        assert_eq!(query.slice(60), 50..60);
        assert_eq!(query.page, 3);
        assert_eq!(query.slice(0), 0..0);
    }

    #[test]
    fn unknown_values_sort_last_in_both_directions() {
        for descending in [false, true] {
            let mut values = [None, Some(1), Some(2)];
            values.sort_by(|a, b| compare(*a, *b, descending));
            assert_eq!(values[2], None);
        }
    }
}
