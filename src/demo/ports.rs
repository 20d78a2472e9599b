//! The demo's addresses, all bound before anything starts: a port that is taken is named at once.

use crate::{config::defaults, services::Service};
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpListener;

/// One bound socket for the pages and one for each service.
#[derive(Debug)]
pub struct Ports {
    pub pages: TcpListener,
    pub order: TcpListener,
    pub payment: TcpListener,
    pub delivery: TcpListener,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for {what}: {source}. Stop what uses it, or give --listen {}: every part then gets a \
     free port",
    SocketAddr::new(address.ip(), 0)
)]
pub struct PortError {
    address: SocketAddr,
    what: &'static str,
    source: std::io::Error,
}

impl Ports {
    /// The pages on `listen`, the services on their own ports of the same address; all on free ones when its port is 0.
    pub async fn bind(listen: SocketAddr) -> Result<Self, PortError> {
        let of = |service| SocketAddr::new(listen.ip(), if listen.port() == 0 { 0 } else { service_port(service) });
        Ok(Self {
            pages: bind(listen, "the pages").await?,
            order: bind(of(Service::Order), "order").await?,
            payment: bind(of(Service::Payment), "payment").await?,
            delivery: bind(of(Service::Delivery), "delivery").await?,
        })
    }
}

/// A further socket for a member that joins later.
pub async fn bind_any(ip: IpAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(ip, 0)).await
}

async fn bind(address: SocketAddr, what: &'static str) -> Result<TcpListener, PortError> {
    TcpListener::bind(address).await.map_err(|source| PortError { address, what, source })
}

fn service_port(service: Service) -> u16 {
    let address = match service {
        Service::Order => defaults::ORDER_LISTEN,
        Service::Payment => defaults::PAYMENT_LISTEN,
        Service::Delivery => defaults::DELIVERY_LISTEN,
    };
    address.parse::<SocketAddr>().map_or(0, |address| address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn port_0_gives_every_part_a_free_port() {
        let ports = Ports::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let mut numbers: Vec<u16> = [&ports.pages, &ports.order, &ports.payment, &ports.delivery]
            .map(|listener| listener.local_addr().unwrap().port())
            .into();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 4);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named_with_its_use_and_the_way_out() {
        let taken = bind_any(IpAddr::V4(Ipv4Addr::LOCALHOST)).await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = Ports::bind(address).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {address} for the pages: ")), "{error}");
        assert!(error.contains("--listen 127.0.0.1:0"), "{error}");
    }

    #[test]
    fn services_have_the_documented_ports() {
        assert_eq!(Service::ALL.map(service_port), [8721, 8722, 8723]);
    }
}
