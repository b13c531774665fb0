//! Listening sockets, one a worker on the same port: the kernel spreads connections.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be accepted, a worker.
const BACKLOG: i32 = 4096;

/// Opens `count` listeners on `address`; with port 0 on one free port.
///
/// # Errors
/// When the address cannot be listened on, in particular when somebody else does.
pub fn open(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    // Sharing a port would let a second engine of the same user in without a word.
    let probe = socket(address)?;
    probe.bind(&address.into())?;
    if address.port() != 0 {
        probe.listen(1)?;
    }
    drop(probe);
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(count);
    let mut address = address;
    for _ in 0..count {
        let socket = socket(address)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_and_strangers_do_not() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = open(any, 3).expect("listening");
        let address = listeners[0].local_addr().expect("an address");
        assert!(
            listeners
                .iter()
                .all(|l| l.local_addr().is_ok_and(|other| other == address))
        );
        let error = open(address, 1).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
