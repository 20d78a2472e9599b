//! Where bytes come from: the one place that knows what a connection to a broker is made of.
//!
//! TLS and SASL belong here: a connector yields a stream on which the Kafka protocol can begin.

use std::io;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Both directions of an open stream.
pub struct ByteStream {
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
}

/// How streams to brokers are opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connector {
    /// `security.protocol=plaintext`.
    #[default]
    Plaintext,
}

impl Connector {
    /// Opens a stream to `host:port`; the caller bounds the time.
    pub async fn connect(self, address: &str) -> io::Result<ByteStream> {
        match self {
            Self::Plaintext => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (reader, writer) = stream.into_split();
                Ok(ByteStream { reader: Box::new(reader), writer: Box::new(writer) })
            }
        }
    }
}
