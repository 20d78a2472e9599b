//! Why a whole collection failed: nothing at all could be read from the cluster.

use crate::lag::UnknownReason;
use std::{fmt, time::Duration};

/// One broker that was tried, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAttempt {
    /// `host:port`.
    pub address: String,
    pub reason: UnknownReason,
    /// Words of the operating system or of the broker.
    pub detail: String,
}

impl fmt::Display for BrokerAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.detail)
    }
}

/// Nothing could be read. The words say what was tried; [`Self::advice`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectError {
    /// No broker gave the cluster's metadata.
    #[error("no broker answered ({})", listed(.tried))]
    NoBroker { tried: Vec<BrokerAttempt> },
    /// A bootstrap server gave the metadata, and no broker answered under the address that the metadata names.
    #[error("{described_by} describes the cluster, but no broker answered at its advertised address ({})", listed(.tried))]
    Unreached { described_by: String, tried: Vec<BrokerAttempt> },
    /// The collection was given up.
    #[error("the collection was not done after {} s", .after.as_secs())]
    TooSlow { after: Duration },
}

impl CollectError {
    /// The commonest cause, as the metric label `reason`: a bounded set.
    pub fn reason(&self) -> UnknownReason {
        match self {
            Self::NoBroker { tried } | Self::Unreached { tried, .. } => {
                tried.first().map_or(UnknownReason::Unreachable, |attempt| attempt.reason)
            }
            Self::TooSlow { .. } => UnknownReason::Timeout,
        }
    }

    /// What a person can do about it, as one sentence.
    pub fn advice(&self) -> &'static str {
        let is_unreached = matches!(self, Self::Unreached { .. });
        match self.reason() {
            UnknownReason::Timeout if matches!(self, Self::TooSlow { .. }) => {
                "look at the network between here and the brokers, or leave out groups and topics"
            }
            UnknownReason::Unreachable | UnknownReason::Timeout | UnknownReason::BadResponse if is_unreached => {
                "let advertised.listeners of the brokers name addresses that can be reached from here"
            }
            UnknownReason::Timeout => "check that the address is a Kafka listener and that no firewall drops the connection",
            UnknownReason::CertificateRejected => {
                "the certificates are read again at every attempt: mend them, and it goes on"
            }
            UnknownReason::AuthenticationFailed => {
                "user, password and token are read again at every attempt: mend them, and it goes on"
            }
            UnknownReason::NotAuthorized => "give the monitor's principal the right DESCRIBE on the cluster",
            UnknownReason::Unsupported => "the broker is too old: Tidemark reads Kafka 0.10.2 and newer",
            UnknownReason::BadResponse => {
                "check that the address is a Kafka listener and that its security protocol is the one configured"
            }
            _ => "check that Kafka runs and that --kafka names an address of it that can be reached from here",
        }
    }
}

fn listed(tried: &[BrokerAttempt]) -> String {
    let words: Vec<String> = tried.iter().map(ToString::to_string).collect();
    words.join("; ")
}
