//! Sentinels: which server is the primary of a service now. They are asked one after the other, each time anew.

use super::redis::{store_error, text};
use super::redis_address::Node;
use super::{StoreError, StoreResult};
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, Value};

#[derive(Clone, Debug)]
pub(super) struct Sentinels {
    sentinels: Vec<Node>,
    service: String,
    like: ConnectionInfo,
}

impl Sentinels {
    /// `like` says of user, password and database of the server that they name.
    pub const fn new(sentinels: Vec<Node>, service: String, like: ConnectionInfo) -> Self {
        Self { sentinels, service, like }
    }

    /// The primary and its address, as the first sentinel says that answers.
    pub async fn primary(&self, config: &AsyncConnectionConfig) -> StoreResult<(Client, String)> {
        let mut last = StoreError::Unreachable("there is no sentinel".to_owned());
        for sentinel in &self.sentinels {
            match self.ask(sentinel, config).await {
                Ok(node) => return Ok((node.client(&self.like)?, node.to_string())),
                Err(error) => last = StoreError::Unreachable(format!("sentinel {sentinel}: {error}")),
            }
        }
        Err(last)
    }

    async fn ask(&self, sentinel: &Node, config: &AsyncConnectionConfig) -> StoreResult<Node> {
        let nobody = "redis://localhost".into_connection_info().map_err(store_error)?;
        let client = sentinel.client(&nobody)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(config).await.map_err(store_error)?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        let answer: Value = question.query_async(&mut connection).await.map_err(store_error)?;
        let Value::Array(parts) = answer else {
            return Err(StoreError::Unreachable(format!("it knows no service {:?}", self.service)));
        };
        let parts = parts.into_iter().map(text).collect::<StoreResult<Vec<String>>>()?;
        let node = match parts.as_slice() {
            [host, port] => port.parse().ok().map(|port| Node { host: host.clone(), port }),
            _ => None,
        };
        node.ok_or_else(|| StoreError::Refused(format!("it names {parts:?}, which is no address")))
    }
}
