//! Taking connections in, as long as the worker takes any.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::worker::Worker;
use crate::limits::Seat;
use crate::metrics;

/// How long to wait after a failed accept: when the process has no descriptor left, the
/// connection stays in the queue and would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the worker refuses more.
pub async fn accept(worker: Rc<Worker>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = worker.refusing.cancelled() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let peer = peer.ip().to_canonical();
                // Whom a proxy of ours speaks for, its request says.
                let address = (!worker.shared.config.trusted_proxies.contains(&peer)).then_some(peer);
                // Too many: closed without a word, which costs least.
                let Ok(seat) = worker.shared.guards.seat(address) else {
                    metrics::shed_connection();
                    continue;
                };
                metrics::accepted();
                if let Err(error) = admit(&worker, socket, seat) {
                    tracing::warn!(%error, "a connection could not be taken in");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Hands a socket from the runtime to the worker.
fn admit(worker: &Worker, socket: TcpStream, seat: Seat) -> io::Result<()> {
    // A system that refuses one of these serves all the same. Events go out in whole
    // ticks; waiting to fill a segment only delays them.
    let _ = socket.set_nodelay(true);
    let size = worker.shared.config.limits.send_buffer_bytes;
    let _ = socket2::SockRef::from(&socket).set_send_buffer_size(size);
    worker.admit(mio::net::TcpStream::from_std(socket.into_std()?), seat)
}
