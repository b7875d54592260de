//! A link in user space that misbehaves: TCP connections to a server pass through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes, at so many bytes a second towards the server.
    Pass(u32),
    /// Nothing passes, and nobody is told.
    Blackhole,
    /// Connections are reset, old and new ones.
    Reset,
    /// The server's side is closed; the device's stays open and silent.
    HalfOpen,
    /// What passes comes so much later.
    Slow(Duration),
}

/// The link.
pub struct Proxy {
    /// Where the device connects.
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    server: Arc<watch::Sender<SocketAddr>>,
}

impl Proxy {
    /// A link to `server` that is fast.
    pub async fn start(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (mode, watched) = watch::channel(Mode::Pass(u32::MAX));
        let server = Arc::new(watch::channel(server).0);
        let to = server.subscribe();
        tokio::spawn(async move {
            while let Ok((device, _)) = listener.accept().await {
                tokio::spawn(connection(device, to.clone(), watched.clone()));
            }
        });
        Proxy { address, mode, server }
    }

    /// From now on the link does this.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// New connections go to another server, and old ones end.
    pub fn set_server(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }
}

async fn connection(
    mut device: TcpStream,
    mut to: watch::Receiver<SocketAddr>,
    mut mode: watch::Receiver<Mode>,
) {
    let address = *to.borrow_and_update();
    let Ok(mut server) = TcpStream::connect(address).await else { return };
    let _ = (device.set_nodelay(true), server.set_nodelay(true));
    let mut server_open = true;
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let now = *mode.borrow_and_update();
        let passes = matches!(now, Mode::Pass(_) | Mode::Slow(_));
        match now {
            Mode::Reset => {
                // Without waiting for what is on its way, the system sends a reset.
                let _ = device.set_zero_linger();
                return;
            }
            Mode::HalfOpen if server_open => {
                server_open = false;
                let _ = server.shutdown().await;
            }
            _ => {}
        }
        let moved = tokio::select! {
            changed = mode.changed() => changed.is_ok(),
            changed = to.changed() => changed.is_err(),
            read = device.read(&mut up), if passes && server_open => {
                passed(read, &mut server, &up, now).await
            }
            read = server.read(&mut down), if passes && server_open => {
                let now = if let Mode::Pass(_) = now { Mode::Pass(u32::MAX) } else { now };
                passed(read, &mut device, &down, now).await
            }
        };
        if !moved {
            return;
        }
    }
}

/// Hands on what was read; whether the connection goes on.
async fn passed(
    read: std::io::Result<usize>,
    to: &mut TcpStream,
    buffer: &[u8],
    mode: Mode,
) -> bool {
    let Ok(count @ 1..) = read else { return false };
    match mode {
        Mode::Slow(late) => tokio::time::sleep(late).await,
        Mode::Pass(rate) if rate < u32::MAX => {
            tokio::time::sleep(Duration::from_secs_f64(count as f64 / f64::from(rate))).await;
        }
        _ => {}
    }
    to.write_all(&buffer[..count]).await.is_ok()
}
