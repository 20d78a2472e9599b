//! The query string of a page, read leniently: a value that makes no sense is the default, never an error page.

/// Decoded parameters in their order. A bound keeps a hostile query string from costing more than it should.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

const MAX_PARAMETERS: usize = 64;

impl Params {
    pub fn parse(raw: Option<&str>) -> Self {
        Self(
            form_urlencoded::parse(raw.unwrap_or("").as_bytes())
                .take(MAX_PARAMETERS)
                .map(|(k, v)| (k.into_owned(), v.into_owned()))
                .collect(),
        )
    }

    /// The first value of `key`; empty when absent.
    pub fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str())
    }

    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }

    pub fn number(&self, key: &str) -> Option<usize> {
        self.get(key).parse().ok()
    }

    /// The query string without `key`, as the name of what is asked for.
    pub fn without(&self, key: &str) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.0.iter().filter(|(k, _)| k != key)).finish()
    }

    /// The query string without the parameters that an empty form field left behind; `None` when there are none.
    pub fn without_empty(&self) -> Option<String> {
        let is_empty = |(key, value): &&(String, String)| value.is_empty() && !matches!(key.as_str(), "group" | "topic");
        if !self.0.iter().any(|pair| is_empty(&pair)) {
            return None;
        }
        let mut out = form_urlencoded::Serializer::new(String::new());
        out.extend_pairs(self.0.iter().filter(|pair| !is_empty(pair)));
        Some(out.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_of_a_form_are_dropped() {
        let params = Params::parse(Some("q=a%20b&status=&sort=lag"));
        assert_eq!(params.without_empty().as_deref(), Some("q=a+b&sort=lag"));
        assert_eq!(Params::parse(Some("q=a")).without_empty(), None);
    }

    #[test]
    fn numbers_that_are_none_read_as_absent() {
        assert_eq!(Params::parse(Some("page=x")).number("page"), None);
        assert_eq!(Params::parse(Some("page=3")).number("page"), Some(3));
    }
}
