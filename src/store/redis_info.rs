//! What `INFO` says of a server: its process and its history, its role, its replicas, and what it can wait for.
//!
//! Pure: the text comes from the connections.

use super::{ServerId, StoreError, StoreResult};
use std::sync::{Mutex, PoisonError};

/// The answer, read line by line when something of it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Info<'t>(&'t str);

/// What matters for what the server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerInfo {
    pub id: ServerId,
    pub is_primary: bool,
    pub online_replicas: usize,
    version: String,
    append_only: bool,
}

impl<'t> Info<'t> {
    pub const fn new(text: &'t str) -> Self {
        Self(text)
    }

    /// The value of a field that the server names.
    pub fn value(self, name: &str) -> Option<&'t str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// Replicas that follow the stream of writes; one that is still being filled is none.
    pub fn online_replicas(self) -> usize {
        self.0.lines().filter(|line| line.starts_with("slave") && line.contains("state=online")).count()
    }

    /// Which server it is; `run` where the section that was asked for does not name the process.
    pub fn server(self, run: Option<&str>) -> StoreResult<ServerInfo> {
        let missing = |name: &str| StoreError::Refused(format!("INFO names no {name}"));
        let run = run.or_else(|| self.value("run_id")).ok_or_else(|| missing("run_id"))?;
        let replication = self.value("master_replid").ok_or_else(|| missing("master_replid"))?;
        Ok(ServerInfo {
            id: ServerId::new(run, replication),
            is_primary: self.value("role") == Some("master"),
            online_replicas: self.online_replicas(),
            version: self.value("valkey_version").or_else(|| self.value("redis_version")).unwrap_or("unknown").to_owned(),
            append_only: self.value("aof_enabled") == Some("1"),
        })
    }
}

impl ServerInfo {
    /// Whether the server can be asked to wait for its disk.
    pub fn can_fsync(&self) -> StoreResult<()> {
        let mut numbers = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version < (7, 2) {
            return Err(StoreError::Unsupported(format!(
                "durability fsync needs Redis 7.2 or later for WAITAOF, and this is {}: update it or choose durability replica",
                self.version
            )));
        }
        if !self.append_only {
            return Err(StoreError::Unsupported(
                "durability fsync needs appendonly yes, and better appendfsync always: set it or choose durability replica"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

/// The history of one server of which an online replica was seen, by whichever connection: from then on one has to confirm.
#[derive(Debug, Default)]
pub(super) struct SeenReplica(Mutex<Option<ServerId>>);

impl SeenReplica {
    /// Whether a replica has to confirm what this history holds: once one was seen to follow it, also when it is away.
    pub fn has_to_confirm(&self, info: &ServerInfo) -> bool {
        let mut history = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if info.online_replicas > 0 {
            *history = Some(info.id.clone());
        }
        history.as_ref() == Some(&info.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.2.4\r\nrun_id:aa\r\n# Persistence\r\naof_enabled:1\r\n# Replication\r\n\
                        role:master\r\nconnected_slaves:2\r\nslave0:ip=10.0.0.1,port=1,state=online,offset=9,lag=0\r\n\
                        slave1:ip=10.0.0.2,port=1,state=wait_bgsave,offset=0,lag=0\r\nmaster_replid:bb\r\n\
                        master_replid2:00\r\n";

    fn server() -> ServerInfo {
        Info::new(INFO).server(None).unwrap()
    }

    #[test]
    fn a_server_is_its_process_and_its_history_and_only_online_replicas_count() {
        let info = server();
        assert_eq!((info.id, info.is_primary, info.online_replicas), (ServerId::new("aa", "bb"), true, 1));
        let section = Info::new(INFO.split_once("# Replication").unwrap().1);
        assert_eq!(section.server(Some("aa")).unwrap().id, ServerId::new("aa", "bb"));
        assert!(section.server(None).is_err());
    }

    #[test]
    fn a_replica_that_was_seen_has_to_confirm_until_the_server_has_another_history() {
        let seen = SeenReplica::default();
        let with = |online_replicas, history| {
            seen.has_to_confirm(&ServerInfo { id: ServerId::new("aa", history), online_replicas, ..server() })
        };
        assert!(!with(0, "bb"), "none was ever there");
        assert!(with(1, "bb"));
        assert!(with(0, "bb"), "it is away, whatever became of the connection");
        assert!(!with(0, "cc"), "another history, of which no replica was seen");
    }

    #[test]
    fn fsync_is_refused_where_the_server_cannot_or_does_not_write_to_disk() {
        let of = |version: &str, append_only| ServerInfo { version: version.to_owned(), append_only, ..server() };
        assert_eq!(of("7.2.0", true).can_fsync(), Ok(()));
        assert_eq!(of("8.0.1", true).can_fsync(), Ok(()));
        for (version, append_only) in [("7.0.15", true), ("6.2.1", true), ("unknown", true), ("7.4.0", false)] {
            assert!(matches!(of(version, append_only).can_fsync(), Err(StoreError::Unsupported(_))), "{version}");
        }
    }
}
