//! Where the ledger's Redis is: one server, the primary that sentinels name, or a cluster. Reads the URL, connects to nothing.
//!
//! ```text
//! redis://[USER:PASSWORD@]HOST[:PORT][/DB]     unix:///PATH
//! redis+sentinel://[USER:PASSWORD@]HOST[:26379],...HOST[:PORT]/SERVICE[/DB]
//! redis+cluster://[USER:PASSWORD@]HOST[:6379],...HOST[:PORT]
//! ```
//! User and password are those of the servers; sentinels are asked without any.

use super::{StoreError, StoreResult};
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError};
use std::fmt;

/// Most addresses that a URL may name.
const ADDRESSES_MAX: usize = 100;

/// One server's host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Node {
    /// Reads `host:port` as servers write it; one without a host is at `asked`.
    pub fn parse(text: &str, asked: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = if host.is_empty() { asked.host.as_str() } else { host };
        Some(Self { host: host.trim_matches(['[', ']']).to_owned(), port: port.parse().ok()? })
    }

    /// How to connect to it, with what `like` says of user, password and database.
    pub fn client(&self, like: &ConnectionInfo) -> StoreResult<Client> {
        let info = like.clone().set_addr(ConnectionAddr::Tcp(self.host.clone(), self.port));
        Client::open(info).map_err(bad)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Address {
    One(Client),
    Sentinel { sentinels: Vec<Node>, service: String, like: ConnectionInfo },
    Cluster { seeds: Vec<Node>, like: ConnectionInfo },
}

fn bad(error: RedisError) -> StoreError {
    StoreError::BadArgument(format!("redis url: {error}"))
}

fn wrong(why: &str) -> StoreError {
    StoreError::BadArgument(format!("redis url: {why}"))
}

impl Address {
    /// # Errors
    /// `BadArgument` when the URL is none of these forms.
    pub fn parse(url: &str) -> StoreResult<Self> {
        if let Some(rest) = url.strip_prefix("redis+sentinel://") {
            let (access, nodes, path) = parts(rest, 26_379)?;
            let (service, db) = path.split_once('/').unwrap_or((path, "0"));
            if service.is_empty() {
                return Err(wrong("sentinels are asked for a service: redis+sentinel://HOST:PORT,HOST:PORT/SERVICE"));
            }
            Ok(Self::Sentinel { like: like(access, &nodes, db)?, sentinels: nodes, service: service.to_owned() })
        } else if let Some(rest) = url.strip_prefix("redis+cluster://") {
            let (access, seeds, path) = parts(rest, 6_379)?;
            if !matches!(path, "" | "0") {
                return Err(wrong("a cluster has no databases but 0"));
            }
            Ok(Self::Cluster { like: like(access, &seeds, "0")?, seeds })
        } else {
            Client::open(url).map(Self::One).map_err(bad)
        }
    }

    /// For people: without user and password.
    pub fn shown(&self) -> String {
        let list = |nodes: &[Node]| nodes.iter().map(Node::to_string).collect::<Vec<_>>().join(",");
        match self {
            Self::One(client) => client.get_connection_info().addr().to_string(),
            Self::Sentinel { sentinels, service, .. } => format!("{service} by {}", list(sentinels)),
            Self::Cluster { seeds, .. } => format!("cluster {}", list(seeds)),
        }
    }
}

/// User and password (with the `@`, or nothing), the addresses, and what follows the next slash.
fn parts(rest: &str, port: u16) -> StoreResult<(&str, Vec<Node>, &str)> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    let (access, hosts) = authority.split_at(at);
    let nodes: Option<Vec<Node>> = hosts.split(',').map(|text| node(text, port)).collect();
    let nodes = nodes.ok_or_else(|| wrong("addresses are HOST:PORT, separated by commas"))?;
    if nodes.len() > ADDRESSES_MAX {
        return Err(wrong("too many addresses"));
    }
    Ok((access, nodes, path))
}

fn node(text: &str, port: u16) -> Option<Node> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { port } else { rest.strip_prefix(':')?.parse().ok()? })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, port),
        },
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    (!host.is_empty() && host.chars().all(is_plain) && port != 0).then(|| Node { host: host.to_owned(), port })
}

/// User, password and database as the crate reads them from a URL of one server.
fn like(access: &str, nodes: &[Node], db: &str) -> StoreResult<ConnectionInfo> {
    if db.parse::<u16>().is_err() {
        return Err(wrong("the database is a number"));
    }
    let port = nodes.first().map_or(6_379, |node| node.port);
    format!("redis://{access}localhost:{port}/{db}").into_connection_info().map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_url_is_read_and_shown_without_its_password() {
        let shown = |url: &str| Address::parse(url).unwrap().shown();
        assert_eq!(shown("redis://u:secret@h:1/2"), "h:1");
        assert_eq!(shown("redis+sentinel://u:secret@a,b:2/main/3"), "main by a:26379,b:2");
        assert_eq!(shown("redis+cluster://:secret@a,[::1]:2,c.d:3/"), "cluster a:6379,::1:2,c.d:3");
        let Address::Sentinel { like, .. } = Address::parse("redis+sentinel://u:p%40ss@a/main/3").unwrap() else {
            panic!("not sentinels")
        };
        let settings = like.redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("u"), Some("p@ss"), 3));
    }

    #[test]
    fn nonsense_is_refused() {
        for url in [
            "http://h",
            "redis+sentinel://a:1",
            "redis+sentinel://a:1/",
            "redis+sentinel:///main",
            "redis+sentinel://a:x/main",
            "redis+sentinel://a:0/main",
            "redis+sentinel://a/main/x",
            "redis+cluster://",
            "redis+cluster://a,,b",
            "redis+cluster://a:99999",
            "redis+cluster://a/1",
            "redis+cluster://[::1",
            "redis+cluster://a b:1",
        ] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_redirection_without_a_host_means_the_one_that_was_asked() {
        let asked = Node { host: "h".to_owned(), port: 1 };
        assert_eq!(Node::parse(":7", &asked), Some(Node { host: "h".to_owned(), port: 7 }));
        assert_eq!(Node::parse("::1:7", &asked), Some(Node { host: "::1".to_owned(), port: 7 }));
        assert_eq!(Node::parse("x", &asked), None);
    }
}
