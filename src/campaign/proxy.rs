//! A TCP proxy on loopback between the services and what they stand on: connections can be held, slowed, cut and sent elsewhere.

use anyhow::Context;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What becomes of bytes, and where new connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    target: u16,
    passage: Passage,
    /// Rises with each cut: connections of an earlier life end.
    life: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    Open,
    /// Bytes stay where they are; nothing is closed.
    Held,
    /// What is sent in either direction waits.
    Late(Duration),
    /// New connections end at once.
    Cut,
}

/// Dropping it ends it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    route: watch::Sender<Route>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Forwards to a port of loopback.
    ///
    /// # Errors
    /// No socket can be had.
    pub async fn to(target: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("a socket for a proxy")?;
        let port = listener.local_addr().context("the address of a socket")?.port();
        let (route, watched) = watch::channel(Route { target, passage: Passage::Open, life: 0 });
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, watched.clone()));
            }
        });
        Ok(Self { port, route, accepting })
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Lets no byte through any more, in either direction.
    pub fn hold(&self) {
        self.route.send_modify(|route| route.passage = Passage::Held);
    }

    /// Everything takes so much longer, each way.
    pub fn slow(&self, delay: Duration) {
        self.route.send_modify(|route| route.passage = Passage::Late(delay));
    }

    /// Ends every connection, and new ones as they come.
    pub fn cut(&self) {
        self.route.send_modify(|route| *route = Route { passage: Passage::Cut, life: route.life + 1, ..*route });
    }

    /// As at the beginning; connections that are there stay.
    pub fn open(&self) {
        self.route.send_modify(|route| route.passage = Passage::Open);
    }

    /// Ends every connection; new ones go to `target`.
    pub fn point_to(&self, target: u16) {
        self.route.send_modify(|route| *route = Route { target, passage: Passage::Open, life: route.life + 1 });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.route.send_modify(|route| route.life += 1);
        self.accepting.abort();
    }
}

async fn serve(client: TcpStream, route: watch::Receiver<Route>) {
    let begun = *route.borrow();
    if begun.passage == Passage::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", begun.target)).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let mut ends = route.clone();
    tokio::select! {
        () = pump(from_client, to_server, route.clone()) => {}
        () = pump(from_server, to_client, route) => {}
        _ = ends.wait_for(|now| now.life != begun.life) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut route: watch::Receiver<Route>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let Ok(passage) = route.wait_for(|now| now.passage != Passage::Held).await.map(|now| now.passage) else { return };
        if let Passage::Late(delay) = passage {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    drop(tokio::io::copy(&mut read, &mut write).await);
                });
            }
        });
        port
    }

    async fn ask(stream: &mut TcpStream) -> std::io::Result<u8> {
        stream.write_all(b"x").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn bytes_pass_are_held_and_cut() {
        let proxy = Proxy::to(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), b'x');
        proxy.hold();
        let held = tokio::time::timeout(Duration::from_millis(50), ask(&mut stream)).await;
        assert!(held.is_err(), "nothing passes");
        proxy.open();
        assert_eq!(stream.read_u8().await.unwrap(), b'x', "what was held comes then");
        proxy.cut();
        assert!(ask(&mut stream).await.is_err());
        let mut refused = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        assert!(ask(&mut refused).await.is_err());
        proxy.point_to(echo().await);
        let mut again = TcpStream::connect(("127.0.0.1", proxy.port())).await.unwrap();
        assert_eq!(ask(&mut again).await.unwrap(), b'x');
    }
}
