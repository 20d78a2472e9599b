//! A TCP proxy on loopback whose connections can be held, cut and sent elsewhere.

use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{
    TcpListener, TcpStream,
    tcp::{OwnedReadHalf, OwnedWriteHalf},
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of bytes, and where new connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    target: u16,
    /// Bytes stay where they are; nothing is closed.
    held: bool,
    /// Rises with each cut: connections of an earlier life end.
    life: u64,
}

/// Dropping it ends it.
pub struct Proxy {
    port: u16,
    route: watch::Sender<Route>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Forwards to a port of loopback.
    pub async fn to(target: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let (route, watched) = watch::channel(Route { target, held: false, life: 0 });
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, watched.clone()));
            }
        });
        Proxy { port, route, accepting: Mutex::new(Some(accepting)) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets no byte through any more, in either direction.
    pub fn hold(&self) {
        self.route.send_modify(|route| route.held = true);
    }

    /// Ends every connection; new ones go to `target`.
    pub fn point_to(&self, target: u16) {
        self.route.send_modify(|route| *route = Route { target, held: false, life: route.life + 1 });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.route.send_modify(|route| route.life += 1);
        if let Ok(mut accepting) = self.accepting.lock() {
            accepting.take().iter().for_each(JoinHandle::abort);
        }
    }
}

async fn serve(client: TcpStream, route: watch::Receiver<Route>) {
    let begun = *route.borrow();
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
        if route.wait_for(|now| !now.held).await.is_err() || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
