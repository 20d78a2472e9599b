//! Serves a router on a bound socket until it is told to stop.

use axum::Router;
use std::{io, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long open connections may go on after the stop.
const GOODBYE_TIME: Duration = Duration::from_secs(5);

/// Answers requests until `stop` is cancelled; then takes no more connections and gives the open ones a few seconds.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    let server = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        served = server => served,
        () = async { stop.cancelled().await; tokio::time::sleep(GOODBYE_TIME).await; } => Ok(()),
    }
}
