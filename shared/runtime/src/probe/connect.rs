//! Opening the probe's own connection, and driving a protocol over it without a task.

use super::fault::Fault;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use tokio::net::TcpStream;

/// Opens a TCP connection. The caller's deadline bounds it.
pub(super) async fn tcp(address: SocketAddr) -> Result<TcpStream, Fault> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| Fault::connect(&error))?;
    // A probe is a few small packets; where the option can't be set they are only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Runs `exchange` to its end, polling beside it the `connection` that carries its bytes. What the connection says
/// is left aside: the exchange learns of every fault that concerns it.
pub(super) async fn drive<T>(connection: impl Future, exchange: impl Future<Output = T>) -> T {
    let mut connection = pin!(connection);
    let mut exchange = pin!(exchange);
    tokio::select! {
        biased;
        done = &mut exchange => return done,
        _ = &mut connection => {}
    }
    exchange.await
}
