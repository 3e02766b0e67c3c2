//! A wire between the program and a store that knows when each connection ended.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::Instant,
};

/// Forwards bytes to a store and notes what the program sent last.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    connections: Arc<Mutex<Vec<Connection>>>,
    _tasks: JoinSet<()>,
}

/// One connection of the program to the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    /// The last bytes that the program sent.
    pub(crate) last: Vec<u8>,
    /// When they passed.
    pub(crate) last_at: Option<Instant>,
    /// When the program closed its side.
    pub(crate) ended: Option<Instant>,
}

impl Wire {
    pub(crate) async fn to(store: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Mutex<Vec<Connection>>>::default();
        let mut tasks = JoinSet::new();
        let noted = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut both = JoinSet::new();
            while let Ok((program, _)) = listener.accept().await {
                let store = TcpStream::connect(store).await.unwrap();
                let index = {
                    let mut noted = noted.lock().unwrap();
                    noted.push(Connection::default());
                    noted.len() - 1
                };
                let ((from_program, to_program), (from_store, to_store)) =
                    (program.into_split(), store.into_split());
                both.spawn(copy(from_store, to_program, |_| {}));
                let noted = Arc::clone(&noted);
                both.spawn(copy(from_program, to_store, move |bytes| {
                    let connection = &mut noted.lock().unwrap()[index];
                    if bytes.is_empty() {
                        connection.ended = Some(Instant::now());
                    } else {
                        connection.last = bytes.to_vec();
                        connection.last_at = Some(Instant::now());
                    }
                }));
            }
        });
        Self { address, connections, _tasks: tasks }
    }

    pub(crate) fn connections(&self) -> Vec<Connection> {
        self.connections.lock().unwrap().clone()
    }
}

/// Copies until the end, which `note` sees as no bytes.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, note: impl Fn(&[u8])) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        note(&buffer[..read]);
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
