//! How safe an answer of the store has to be before offsets are committed on it, and which server gave it. Pure.

use std::{fmt, sync::Arc};

/// What is waited for before offsets are committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Nothing: a failover may take back what was answered. It is noticed, and what it concerns is read again.
    None,
    /// A replica, where the server has one.
    #[default]
    Replica,
    /// The same, and the server's own disk.
    Fsync,
}

impl Durability {
    pub const ALL: [Self; 3] = [Self::None, Self::Replica, Self::Fsync];

    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Replica => "replica",
            Self::Fsync => "fsync",
        }
    }

    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.label() == label)
    }
}

/// One history of writes: `<run id>.<replication id>` of a server. Another process has another run id; a promotion gives
/// the replication another id. What an earlier one has answered may be unknown to a later one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(Arc<str>);

impl ServerId {
    pub fn new(run: &str, replication: &str) -> Self {
        Self(format!("{run}.{replication}").into())
    }

    /// Reads it back from text; `None` when that has not its form.
    pub fn parse(text: &str) -> Option<Self> {
        let (run, replication) = text.split_once('.')?;
        let plain = |part: &str| !part.is_empty() && part.len() <= 64 && part.chars().all(|c| c.is_ascii_alphanumeric());
        (plain(run) && plain(replication)).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part that names the process.
    pub fn run(&self) -> &str {
        self.0.split_once('.').map_or(&self.0, |(run, _)| run)
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_id_comes_back_from_its_text_and_nothing_else_does() {
        let id = ServerId::new("a1", "b2");
        assert_eq!((ServerId::parse(id.as_str()), id.run()), (Some(id.clone()), "a1"));
        for bad in ["", "a1", "a1.", ".b2", "a1.b2.c3", "a:1.b2", "a 1.b2"] {
            assert_eq!(ServerId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn durabilities_are_named_in_words() {
        assert!(Durability::ALL.iter().all(|one| Durability::from_label(one.label()) == Some(*one)));
        assert_eq!(Durability::from_label("always"), None);
    }
}
