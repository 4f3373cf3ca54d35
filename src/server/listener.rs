//! Sockets of our own doors that notice when a caller is gone without a word.
//!
//! A held request sends nothing for a minute. Where its caller lost power, or a firewall forgot the connection, only the
//! kernel can find out: by keep-alives. Until it has, the caller's next run would be taken for a second copy. What is
//! set on a listening socket is inherited by those that it accepts.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};

/// Silence before the first question, between questions, and how many stay unanswered: gone after 25 seconds.
const IDLE: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_secs(5);
const QUESTIONS: u32 = 3;
/// Callers that may wait to be accepted: all relays of a restarted node come back at once.
const BACKLOG: i32 = 2_048;

/// Listens on an address.
pub(super) fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    let socket = SockRef::from(&listener);
    socket.listen(BACKLOG)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(IDLE).with_interval(BETWEEN).with_retries(QUESTIONS))?;
    Ok(listener)
}
