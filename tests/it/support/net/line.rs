//! A line between two nodes that misbehaves on demand.
//!
//! What it does is read anew for every chunk, so that a test may change it under way ([`Line::set`]). Bytes to cut at come
//! from a seeded sequence; the seed is printed where a test fails.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use super::{Server, serve};

/// What the line does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All passes.
    Pass,
    /// A connection ends, both ways at once, after some bytes towards the far end or back: 1 to this many.
    Cut(u32),
    /// Connections are taken and what is sent is swallowed; nobody hangs up.
    Swallow,
    /// New connections end at once.
    Refuse,
    /// A connection ends when nothing has passed for so long (of real time).
    Idle(Duration),
}

#[derive(Debug)]
struct Inner {
    to: Mutex<SocketAddr>,
    mode: Mutex<Mode>,
    /// Connections opened before this one are frozen: neither bytes nor an end pass any more.
    frozen: watch::Sender<u64>,
    dropped: watch::Sender<u64>,
    opened: AtomicU64,
    ended: AtomicU64,
    random: Mutex<u64>,
}

/// A running line.
#[derive(Debug)]
pub struct Line {
    inner: Arc<Inner>,
    server: Server,
}

impl Line {
    /// Leads nowhere yet ([`Self::aim`]).
    pub async fn start(seed: u64) -> Self {
        let inner = Arc::new(Inner {
            to: Mutex::new(SocketAddr::from(([127, 0, 0, 1], 1))),
            mode: Mutex::new(Mode::Pass),
            frozen: watch::Sender::new(0),
            dropped: watch::Sender::new(0),
            opened: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            random: Mutex::new(seed),
        });
        let shared = inner.clone();
        let server = serve(move |caller| {
            let inner = shared.clone();
            async move { inner.carry(caller).await }
        })
        .await;
        Self { inner, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// Where it leads.
    pub fn aim(&self, to: SocketAddr) {
        *self.inner.to.lock().expect("no panic") = to;
    }

    pub fn set(&self, mode: Mode) {
        *self.inner.mode.lock().expect("no panic") = mode;
    }

    /// All connections of this moment fall silent: no byte and no end passes, as where a firewall forgot them.
    pub fn freeze(&self) {
        self.inner.frozen.send_replace(self.inner.opened.load(Ordering::SeqCst));
    }

    /// All connections of this moment are cut.
    pub fn drop_all(&self) {
        self.inner.dropped.send_replace(self.inner.opened.load(Ordering::SeqCst));
    }

    /// Connections that were opened so far.
    pub fn opened(&self) -> u64 {
        self.inner.opened.load(Ordering::SeqCst)
    }

    /// Connections that this line ended by itself.
    pub fn ended(&self) -> u64 {
        self.inner.ended.load(Ordering::SeqCst)
    }
}

impl Inner {
    fn mode(&self) -> Mode {
        *self.mode.lock().expect("no panic")
    }

    /// The next number of the sequence, from 1 to `most`.
    fn draw(&self, most: u32) -> u64 {
        let mut state = self.random.lock().expect("no panic");
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % u64::from(most) + 1
    }

    async fn carry(self: Arc<Self>, caller: TcpStream) {
        let number = self.opened.fetch_add(1, Ordering::SeqCst) + 1;
        if self.mode() == Mode::Refuse {
            return;
        }
        let to = *self.to.lock().expect("no panic");
        let Ok(far) = TcpStream::connect(to).await else { return };
        for end in [&caller, &far] {
            end.set_nodelay(true).expect("a socket");
        }
        let left = Arc::new(Mutex::new(match self.mode() {
            Mode::Cut(most) => Some(self.draw(most)),
            _ => None,
        }));
        let (caller_read, caller_write) = caller.into_split();
        let (far_read, far_write) = far.into_split();
        let moved = watch::Sender::new(());
        let ended_here = tokio::select! {
            here = self.pump(number, caller_read, far_write, &left, &moved) => here,
            here = self.pump(number, far_read, caller_write, &left, &moved) => here,
            () = self.idle(&moved) => true,
            () = reached(&self.dropped, number) => true,
        };
        self.ended.fetch_add(u64::from(ended_here), Ordering::SeqCst);
    }

    /// Carries one direction until it ends; true where the line itself ended it.
    async fn pump(
        &self,
        number: u64,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        left: &Mutex<Option<u64>>,
        moved: &watch::Sender<()>,
    ) -> bool {
        let mut chunk = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut chunk).await;
            if *self.frozen.borrow() >= number {
                // Neither the bytes nor the end reach the other side, for as long as the test lasts.
                reached(&self.dropped, number).await;
                return true;
            }
            let Ok(n @ 1..) = read else { return false };
            moved.send_replace(());
            if self.mode() == Mode::Swallow {
                continue;
            }
            let (pass, cut) = {
                let mut left = left.lock().expect("no panic");
                match &mut *left {
                    Some(rest) => {
                        let pass = usize::try_from(*rest).unwrap_or(usize::MAX).min(n);
                        *rest -= pass as u64;
                        (pass, *rest == 0)
                    }
                    None => (n, false),
                }
            };
            if to.write_all(&chunk[..pass]).await.is_err() {
                return false;
            }
            if cut {
                return true;
            }
        }
    }

    /// Resolves when the line cuts because nothing moved.
    async fn idle(&self, moved: &watch::Sender<()>) {
        let mut moved = moved.subscribe();
        loop {
            let limit = match self.mode() {
                Mode::Idle(limit) => limit,
                _ => Duration::from_millis(20),
            };
            let quiet = tokio::time::timeout(limit, moved.changed()).await.is_err();
            if quiet && matches!(self.mode(), Mode::Idle(now) if now == limit) {
                return;
            }
        }
    }
}

async fn reached(sender: &watch::Sender<u64>, number: u64) {
    // The sender lives as long as the line.
    let _ = sender.subscribe().wait_for(|upto| *upto >= number).await;
}
