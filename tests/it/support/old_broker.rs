//! A real broker that looks like an older release: a proxy before it lowers the versions that its ApiVersions answer offers,
//! so that a client speaks the older requests, which the real broker then answers.

use super::Kafka;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// The highest version of each request that a release answers, by Kafka's number of the request.
pub type Offers = HashMap<i16, i16>;

const API_VERSIONS: i16 = 18;

/// What went through the proxy, and what it lets the broker offer.
#[derive(Default)]
struct Shared {
    /// `None` offers what the broker does.
    offers: Mutex<Option<Offers>>,
    asked: Mutex<HashSet<(i16, i16)>>,
}

/// The broker and the proxy before it, whose address the broker gives as its own.
pub struct OldBroker {
    pub kafka: Kafka,
    proxy: SocketAddr,
    shared: Arc<Shared>,
}

impl OldBroker {
    pub async fn start() -> OldBroker {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let proxy = listener.local_addr().expect("a bound socket has an address");
        let (shared, seen) = (Arc::<Shared>::default(), Arc::<Mutex<u16>>::default());
        let (behind, served) = (Arc::clone(&seen), Arc::clone(&shared));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let port = *behind.lock().expect("nobody panicked");
                if let Ok(broker) = TcpStream::connect(("127.0.0.1", port)).await {
                    pass(client, broker, Arc::clone(&served));
                }
            }
        });
        let start = move || {
            Kafka::start_with(|port| {
                *seen.lock().expect("nobody panicked") = port;
                format!("advertised.listeners=PLAINTEXT://{proxy}\n")
            })
        };
        let kafka = tokio::task::spawn_blocking(start).await.expect("the broker starts");
        OldBroker { kafka, proxy, shared }
    }

    pub fn address(&self) -> String {
        self.proxy.to_string()
    }

    /// New connections meet this release.
    pub fn become_release(&self, offers: Offers) {
        *self.shared.offers.lock().expect("nobody panicked") = Some(offers);
        self.shared.asked.lock().expect("nobody panicked").clear();
    }

    /// The highest version in which the monitor's client asked a request since the last change.
    pub fn asked(&self, key: i16) -> Option<i16> {
        let asked = self.shared.asked.lock().expect("nobody panicked");
        asked.iter().filter(|(known, _)| *known == key).map(|(_, version)| *version).max()
    }
}

/// ApiVersions requests on their way: the version of each by its correlation id.
type Waiting = Arc<Mutex<HashMap<i32, i16>>>;

fn pass(client: TcpStream, broker: TcpStream, shared: Arc<Shared>) {
    let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
    let waiting = Waiting::default();
    let waiting_too = Arc::clone(&waiting);
    let offers = shared.offers.lock().expect("nobody panicked").clone();
    tokio::spawn(async move {
        let note = |frame: &mut Vec<u8>| {
            let (key, version) = (number(frame, 0), number(frame, 2));
            let correlation = i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]);
            if key == API_VERSIONS {
                waiting.lock().expect("nobody panicked").insert(correlation, version);
            }
            // The members of the test's groups come through here as well.
            if frame[10..].starts_with(b"tidemark") {
                shared.asked.lock().expect("nobody panicked").insert((key, version));
            }
        };
        forward(from_client, to_broker, note).await
    });
    tokio::spawn(async move {
        let lower = |frame: &mut Vec<u8>| {
            let correlation = i32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
            let version = waiting_too.lock().expect("nobody panicked").remove(&correlation);
            if let (Some(version), Some(offers)) = (version, &offers) {
                cap(frame, version, offers);
            }
        };
        forward(from_broker, to_client, lower).await
    });
}

fn number(frame: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([frame[at], frame[at + 1]])
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, change: impl Fn(&mut Vec<u8>)) -> std::io::Result<()> {
    loop {
        let length = from.read_u32().await?;
        let mut frame = vec![0; length as usize];
        from.read_exact(&mut frame).await?;
        change(&mut frame);
        to.write_u32(length).await?;
        to.write_all(&frame).await?;
    }
}

/// Lowers the offers in place: a request that the release does not know is offered from 0 to -1, which is not at all.
fn cap(frame: &mut [u8], version: i16, offers: &Offers) {
    // Correlation id and error code; then the entries, with tagged fields from version 3 on.
    let (mut at, count, step) = if version >= 3 {
        let (count, bytes) = if frame[6] < 0x80 {
            (usize::from(frame[6]), 1)
        } else {
            (usize::from(frame[6] & 0x7f) + (usize::from(frame[7]) << 7), 2)
        };
        (6 + bytes, count - 1, 7)
    } else {
        (10, usize::try_from(i32::from_be_bytes([frame[6], frame[7], frame[8], frame[9]])).expect("a count"), 6)
    };
    for _ in 0..count {
        let (key, lowest, highest) = (number(frame, at), number(frame, at + 2), number(frame, at + 4));
        let (lowest, highest) = match offers.get(&key) {
            Some(cap) => (lowest, highest.min(*cap)),
            None => (0, -1),
        };
        frame[at + 2..at + 4].copy_from_slice(&lowest.to_be_bytes());
        frame[at + 4..at + 6].copy_from_slice(&highest.to_be_bytes());
        at += step;
    }
}
