//! Where bytes come from: the one place that knows what a connection to a broker is made of.
//!
//! A connector yields a stream on which the Kafka protocol can begin; `auth` then proves over it who we are.

use super::error::WireError;
use crate::kafka::security::{TlsComplaint, TlsSource, complaint, hostname};
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

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
    let stream = TcpStream::connect(address).await.map_err(connect)?;
    stream.set_nodelay(true).map_err(connect)?;
    Ok(stream)
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
