//! Where bytes come from: the one place that knows what a connection to a broker is made of.
//!
//! A connector yields a stream on which the Kafka protocol can begin; `auth` then proves over it who we are.

use super::error::WireError;
use crate::kafka::{
    hedge::first_answer,
    security::{TlsComplaint, TlsSource, complaint, hostname},
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::TlsConnector;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;
/// How long an address may be silent before the next is tried as well (RFC 8305).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Both directions of an open stream.
pub struct ByteStream {
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
}

/// How streams to brokers are opened.
#[derive(Clone, Debug, Default)]
pub enum Connector {
    /// Bytes as they are.
    #[default]
    Plaintext,
    Tls(Arc<TlsSource>),
}

impl Connector {
    /// Opens a stream to `host:port`; the caller bounds the time.
    pub async fn connect(&self, address: &str) -> Result<ByteStream, WireError> {
        match self {
            Self::Plaintext => {
                let (reader, writer) = dial(address).await?.into_split();
                Ok(ByteStream { reader: Box::new(reader), writer: Box::new(writer) })
            }
            Self::Tls(source) => {
                let config = source.config().await.map_err(|problem| WireError::Certificate(problem.to_string()))?;
                let name = hostname(address).map_err(WireError::Certificate)?;
                let stream = dial(address).await?;
                match TlsConnector::from(config).connect(name, stream).await {
                    Ok(stream) => {
                        let (reader, writer) = tokio::io::split(stream);
                        Ok(ByteStream { reader: Box::new(reader), writer: Box::new(writer) })
                    }
                    Err(error) => {
                        source.forget();
                        Err(failed(&error, WireError::Tls))
                    }
                }
            }
        }
    }
}

async fn dial(address: &str) -> Result<TcpStream, WireError> {
    let connect = |error: io::Error| WireError::Connect(error.to_string());
    let found: Vec<SocketAddr> = lookup_host(address).await.map_err(connect)?.take(ADDRESSES_MAX).collect();
    let stream = dial_any(found).await.map_err(connect)?;
    stream.set_nodelay(true).map_err(connect)?;
    Ok(stream)
}

/// Connects to one of a name's addresses. One that says nothing does not keep the others from being tried.
async fn dial_any(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let asking = addresses.into_iter().map(TcpStream::connect).collect();
    first_answer(asking, 1, NEXT_ADDRESS_AFTER).await.map_err(|mut errors| {
        errors.pop().unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
    })
}

/// What an error of a stream means: TLS may be behind it, also long after the handshake.
pub(super) fn failed(error: &io::Error, otherwise: impl FnOnce(String) -> WireError) -> WireError {
    match complaint(error) {
        Some(TlsComplaint::Certificate(words)) => WireError::Certificate(words),
        Some(TlsComplaint::Protocol(words)) => WireError::Tls(words),
        None if error.kind() == io::ErrorKind::UnexpectedEof => otherwise("the broker closed it".to_owned()),
        None => otherwise(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        net::{TcpListener, TcpSocket},
        time::timeout,
    };

    #[tokio::test]
    async fn an_address_that_refuses_and_one_that_is_silent_do_not_keep_the_next_from_being_tried() {
        let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
        // A queue that is full takes nobody in, and tells nobody so.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(loopback).unwrap();
        let deaf = socket.listen(1).unwrap();
        let silent = deaf.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(Duration::from_secs(1), TcpStream::connect(silent)).await {
            queued.push(stream.unwrap());
        }
        let alive = TcpListener::bind(loopback).await.unwrap();
        let refusing: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let stream = dial_any(vec![silent, refusing, alive.local_addr().unwrap()]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive.local_addr().unwrap());
    }

    #[tokio::test]
    async fn when_no_address_answers_the_error_is_that_of_the_system() {
        let error = dial("127.0.0.1:1").await.unwrap_err().to_string();
        assert!(error.starts_with("cannot connect: Connection refused"), "{error}");
        assert_eq!(dial_any(Vec::new()).await.unwrap_err().to_string(), "the name has no address");
    }
}
