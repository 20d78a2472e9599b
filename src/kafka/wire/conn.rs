//! One connection: framing, correlation ids, pipelining and version negotiation.
//!
//! An exchange owns the connection: requests are written while answers are read, so neither side can block the other.
//! When an exchange ends early, by an error or because its future was dropped, the connection is broken for good.

use super::{
    api::{ApiVersions, Call},
    auth::authenticate,
    cursor::Cursor,
    error::{Malformed, WireError},
    stats::WireStats,
    stream::{ByteStream, Connector, failed},
};
use crate::kafka::security::{Credentials, SaslSource};
use bytes::{BufMut, BytesMut};
use kafka_protocol::{
    messages::{ApiVersionsRequest, RequestHeader},
    protocol::{Encodable, StrBytes},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    sync::Semaphore,
    time::{Instant, sleep_until, timeout},
};

/// Requests in flight on one connection. A broker works on one at a time; more only hides the way there and back.
const IN_FLIGHT: usize = 4;
/// The answer buffer grows by what has arrived, never by what a frame claims, and is let go above this.
const KEPT_BUFFER_BYTES: usize = 1 << 20;
const GROWTH_BYTES: usize = 64 << 10;
/// Of the time for which a broker takes an authentication; a new connection is made after it.
const SESSION_SHARE: f64 = 0.8;
/// How TLS begins to say that it does not understand us, where a frame's length stands.
const TLS_ALERT: i32 = 0x0015_0303;
/// A broker that throttles us reads nothing for that long (KIP-219), and nothing is sent to it: at most for this long.
const MAX_THROTTLE: Duration = Duration::from_secs(30);

/// What bounds a connection, and how it presents itself.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    pub connector: Connector,
    /// How to prove who we are; `None` where nobody asks.
    pub sasl: Option<Arc<SaslSource>>,
    pub client_id: String,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
    pub max_frame_bytes: usize,
    pub stats: Arc<WireStats>,
}

/// An open connection that has negotiated its versions.
pub struct Connection {
    reader: FrameReader,
    writer: Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
    versions: ApiVersions,
    next_correlation: i32,
    client_id: StrBytes,
    request_timeout: Duration,
    stats: Arc<WireStats>,
    broken: bool,
    /// The broker throttles us.
    quiet_until: Option<Instant>,
    /// Exchanges that went well, and whether the broker knows who we are.
    answered: u64,
    proven: bool,
    /// The broker ends the session soon after.
    until: Option<Instant>,
}

impl Connection {
    /// Connects and negotiates, within the connect timeout.
    pub async fn open(address: &str, settings: &ConnectionSettings) -> Result<Self, WireError> {
        let opening = async {
            let credentials = match &settings.sasl {
                // A token's endpoint has a time limit of its own.
                Some(sasl) => Some(sasl.credentials().await.map_err(WireError::Authentication)?),
                None => None,
            };
            timeout(settings.connect_timeout, Self::open_with(address, settings, credentials))
                .await
                .unwrap_or_else(|_| Err(WireError::ConnectTimeout(settings.connect_timeout.as_millis())))
        };
        let outcome = opening.await;
        match (&outcome, &settings.sasl) {
            (Ok(_), _) => settings.stats.connected(),
            (Err(error), sasl) => {
                settings.stats.failed();
                if let (WireError::Authentication(_), Some(sasl)) = (error, sasl) {
                    sasl.refused().await;
                }
            }
        }
        outcome
    }

    async fn open_with(
        address: &str,
        settings: &ConnectionSettings,
        credentials: Option<Credentials>,
    ) -> Result<Self, WireError> {
        let stream = settings.connector.connect(address).await?;
        let mut connection = Self::over(stream, settings);
        connection.negotiate().await?;
        if let Some(credentials) = credentials {
            let lifetime = authenticate(&mut connection, &credentials).await?;
            connection.proven = true;
            connection.until = lifetime.map(|lifetime| Instant::now() + lifetime.mul_f64(SESSION_SHARE));
        }
        Ok(connection)
    }

    fn over(stream: ByteStream, settings: &ConnectionSettings) -> Self {
        Self {
            reader: FrameReader {
                source: BufReader::new(stream.reader),
                buffer: Vec::new(),
                max_bytes: settings.max_frame_bytes,
            },
            writer: stream.writer,
            versions: ApiVersions::default(),
            next_correlation: 1,
            client_id: StrBytes::from_string(settings.client_id.clone()),
            request_timeout: settings.request_timeout,
            stats: Arc::clone(&settings.stats),
            broken: false,
            quiet_until: None,
            answered: 0,
            proven: false,
            until: None,
        }
    }

    /// Asks in version 3; a broker that does not know it answers error 35 and is asked again in version 0.
    async fn negotiate(&mut self) -> Result<(), WireError> {
        let (code, offered) = self.ask_versions(3).await?;
        let (code, offered) = if code == 35 { self.ask_versions(0).await? } else { (code, offered) };
        if code != 0 {
            return Err(WireError::VersionsRefused(code));
        }
        self.versions = offered;
        Ok(())
    }

    async fn ask_versions(&mut self, version: i16) -> Result<(i16, ApiVersions), WireError> {
        let mut request = ApiVersionsRequest::default();
        if version >= 3 {
            request.client_software_name = StrBytes::from_static_str("tidemark");
            request.client_software_version = StrBytes::from_static_str(env!("CARGO_PKG_VERSION"));
        }
        let mut answer = None;
        self.exchange(version, &[request], |_, cursor| {
            answer = Some(ApiVersions::decode(cursor, version)?);
            Ok(())
        })
        .await?;
        answer.ok_or(WireError::Malformed(Malformed("no answer")))
    }

    /// The version in which this broker is asked, or the error that says which API it lacks.
    pub fn version<R: Call>(&self) -> Result<i16, WireError> {
        self.versions.pick::<R>().ok_or(WireError::Unsupported(R::NAME))
    }

    /// Whether something can be asked of it: a session that is about to end is replaced, not used up.
    pub fn is_usable(&self) -> bool {
        !self.broken && self.until.is_none_or(|until| Instant::now() < until)
    }

    /// Sends all requests and hands each answer, in order, to `on` together with its index. The cursor stands behind the
    /// header and the throttle time.
    pub async fn exchange<R: Call>(
        &mut self,
        version: i16,
        requests: &[R],
        mut on: impl FnMut(usize, &mut Cursor<'_>) -> Result<(), Malformed> + Send,
    ) -> Result<(), WireError> {
        if let Some(until) = self.quiet_until {
            sleep_until(until).await;
        }
        // Until the last answer is read the stream stands in the middle of something.
        self.broken = true;
        let first = self.next_correlation;
        self.next_correlation = first.wrapping_add(i32::try_from(requests.len()).unwrap_or(i32::MAX));
        let slots = Semaphore::new(IN_FLIGHT);
        let (stats, writer, client_id) = (&self.stats, &mut self.writer, &self.client_id);
        let write = async {
            let mut buffer = BytesMut::new();
            for (request, correlation) in requests.iter().zip(correlations(first)) {
                encode(&mut buffer, request, version, correlation, client_id)?;
                if let Ok(permit) = slots.acquire().await {
                    permit.forget();
                }
                writer.write_all(&buffer).await.map_err(closed)?;
                // TLS keeps what the socket did not take at once, until it is told to go on.
                writer.flush().await.map_err(closed)?;
                stats.sent(buffer.len());
            }
            Ok(())
        };
        let (reader, quiet_until, limit) = (&mut self.reader, &mut self.quiet_until, self.request_timeout);
        let read = async {
            for (index, asked) in (0..requests.len()).zip(correlations(first)) {
                if let Some(until) = *quiet_until {
                    sleep_until(until).await;
                }
                // Only now may one more request go out.
                slots.add_permits(usize::from(index > 0));
                let frame = timeout(limit, reader.next()).await.map_err(|_| WireError::Timeout(limit.as_millis()))??;
                stats.received(frame.len() + 4);
                let (mut cursor, throttle_ms) = open_answer::<R>(frame, version, asked)?;
                let throttle = Duration::from_millis(throttle_ms).min(MAX_THROTTLE);
                *quiet_until = (!throttle.is_zero()).then(|| Instant::now() + throttle);
                stats.throttled(throttle_ms);
                on(index, &mut cursor)?;
            }
            Ok(())
        };
        let outcome: Result<((), ()), WireError> = tokio::try_join!(write, read);
        self.reader.let_go();
        match outcome {
            Ok(_) => {
                self.broken = false;
                self.answered += 1;
            }
            Err(_) => self.stats.failed(),
        }
        outcome.map(|_| ()).map_err(|error| match error {
            // The versions are told to everybody.
            WireError::Closed(words) if self.answered == 1 && !self.proven => WireError::Closed(format!(
                "{words} at the first request, as listeners do that ask for SASL (see security.protocol)"
            )),
            other => other,
        })
    }
}

fn correlations(first: i32) -> impl Iterator<Item = i32> {
    (0..).map(move |step| first.wrapping_add(step))
}

fn closed(error: io::Error) -> WireError {
    failed(&error, WireError::Closed)
}

fn encode<R: Call>(
    buffer: &mut BytesMut,
    request: &R,
    version: i16,
    correlation: i32,
    client_id: &StrBytes,
) -> Result<(), WireError> {
    buffer.clear();
    buffer.put_i32(0);
    RequestHeader::default()
        .with_request_api_key(R::API)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(client_id.clone()))
        .encode(buffer, R::header_version(version))
        .and_then(|()| request.encode(buffer, version))
        .map_err(|error| WireError::Encode(error.to_string()))?;
    let length = i32::try_from(buffer.len() - 4).map_err(|error| WireError::Encode(error.to_string()))?;
    if let Some(head) = buffer.first_chunk_mut::<4>() {
        *head = length.to_be_bytes();
    }
    Ok(())
}

/// Reads header and throttle time; gives the cursor behind them and the throttle time in milliseconds.
fn open_answer<R: Call>(frame: &[u8], version: i16, asked: i32) -> Result<(Cursor<'_>, u64), WireError> {
    let mut cursor = Cursor::new(frame, R::has_flexible_answer(version));
    let answered = cursor.i32()?;
    if answered != asked {
        return Err(WireError::WrongCorrelation { asked, answered });
    }
    cursor.tags()?;
    let throttle_ms = if version >= R::THROTTLE_FROM { cursor.i32()? } else { 0 };
    Ok((cursor, u64::try_from(throttle_ms).unwrap_or(0)))
}

struct FrameReader {
    source: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    buffer: Vec<u8>,
    max_bytes: usize,
}

impl FrameReader {
    /// Reads one frame without its length. The buffer grows with the bytes that arrive.
    async fn next(&mut self) -> Result<&[u8], WireError> {
        let claimed = self.source.read_i32().await.map_err(closed)?;
        let length = usize::try_from(claimed).map_err(|_| Malformed("the frame's length is negative"))?;
        if length > self.max_bytes {
            if claimed >> 8 == TLS_ALERT {
                return Err(WireError::Tls(
                    "the broker speaks TLS there: set security.protocol to ssl or sasl_ssl".to_owned(),
                ));
            }
            return Err(WireError::FrameTooLarge { bytes: claimed, max: self.max_bytes });
        }
        self.buffer.clear();
        let mut body = (&mut self.source).take(length as u64);
        while self.buffer.len() < length {
            self.buffer.reserve((length - self.buffer.len()).min(GROWTH_BYTES));
            if body.read_buf(&mut self.buffer).await.map_err(closed)? == 0 {
                return Err(WireError::Closed("the broker closed it in the middle of an answer".to_owned()));
            }
        }
        Ok(&self.buffer)
    }

    fn let_go(&mut self) {
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests;
