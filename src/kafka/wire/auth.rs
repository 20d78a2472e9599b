//! SASL over an open connection: SaslHandshake names the mechanism, SaslAuthenticate carries its messages (KIP-152).

use super::{
    conn::Connection,
    cursor::Cursor,
    error::{Malformed, WireError},
};
use crate::kafka::security::{Credentials, Dialogue};
use kafka_protocol::{
    messages::{SaslAuthenticateRequest, SaslHandshakeRequest},
    protocol::StrBytes,
};
use std::time::Duration;

/// More messages than any mechanism has.
const MESSAGES_MAX: usize = 4;
/// A server's words are shown up to this length.
const WORDS_MAX: usize = 300;

const UNSUPPORTED_MECHANISM: i16 = 33;
const ILLEGAL_STATE: i16 = 34;

/// Proves who we are. Gives the time for which the broker takes it (KIP-368), if it names one.
pub(super) async fn authenticate(
    connection: &mut Connection,
    credentials: &Credentials,
) -> Result<Option<Duration>, WireError> {
    let refused =
        |words: String| WireError::Authentication(format!("the broker refused SASL {}: {words}", credentials.described()));
    let (code, offered) = shake_hands(connection, credentials.mechanism()).await?;
    match code {
        0 => {}
        UNSUPPORTED_MECHANISM => return Err(refused(format!("it takes {} here; set sasl.mechanism", offered.join(", ")))),
        ILLEGAL_STATE => return Err(refused("this listener takes no SASL; set security.protocol".to_owned())),
        other => return Err(refused(format!("error {other}"))),
    }
    let mut dialogue = Dialogue::new(credentials);
    let mut answer = Answer::default();
    for _ in 0..MESSAGES_MAX {
        let Some(message) = dialogue.next(&answer.said).map_err(refused)? else { return Ok(answer.lifetime) };
        answer = say(connection, message).await?;
        if answer.code != 0 {
            let words = if answer.words.is_empty() { format!("error {}", answer.code) } else { answer.words };
            return Err(refused(words));
        }
    }
    Err(refused("it goes on asking".to_owned()))
}

async fn shake_hands(connection: &mut Connection, mechanism: &'static str) -> Result<(i16, Vec<String>), WireError> {
    let version = connection.version::<SaslHandshakeRequest>()?;
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    let mut answer = (0, Vec::new());
    connection
        .exchange(version, &[request], |_, cursor| {
            answer = handshake(cursor)?;
            Ok(())
        })
        .await?;
    Ok(answer)
}

fn handshake(cursor: &mut Cursor<'_>) -> Result<(i16, Vec<String>), Malformed> {
    let code = cursor.i16()?;
    let mut offered = Vec::new();
    for _ in 0..cursor.count()? {
        offered.push(short(&cursor.text()?));
    }
    Ok((code, offered))
}

#[derive(Default)]
struct Answer {
    code: i16,
    words: String,
    said: Vec<u8>,
    lifetime: Option<Duration>,
}

async fn say(connection: &mut Connection, message: Vec<u8>) -> Result<Answer, WireError> {
    let version = connection.version::<SaslAuthenticateRequest>()?;
    let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
    let mut answer = Answer::default();
    connection
        .exchange(version, &[request], |_, cursor| {
            answer = authentication(cursor, version)?;
            Ok(())
        })
        .await?;
    Ok(answer)
}

fn authentication(cursor: &mut Cursor<'_>, version: i16) -> Result<Answer, Malformed> {
    let code = cursor.i16()?;
    let words = short(&cursor.text()?);
    let said = cursor.bytes()?.to_vec();
    let lifetime_ms = if version >= 1 { cursor.i64()? } else { 0 };
    let lifetime = u64::try_from(lifetime_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
    Ok(Answer { code, words, said, lifetime })
}

fn short(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests;
