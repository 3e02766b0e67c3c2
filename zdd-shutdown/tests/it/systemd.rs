//! systemd, played by a datagram socket and by a listener that is passed on.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::Command,
    time::Duration,
};

use crate::victim::{self, Victim};

#[test]
fn systemd_hears_of_the_start_and_of_the_end() {
    let path = std::env::temp_dir().join(format!("zdd-notify-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let hear = || {
        let mut message = [0; 256];
        let read = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..read]).into_owned()
    };
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("ZDD_SHUTDOWN_DEADLINE", "2s")];
    let victim = Victim::start("serve", &env);
    assert_eq!(hear(), "READY=1");
    let end = victim.end_by("TERM");
    let stopping = hear();
    let micros = stopping.strip_prefix("STOPPING=1\nEXTEND_TIMEOUT_USEC=").unwrap();
    let micros: u64 = micros.parse().unwrap();
    assert!((1_000_000..=2_000_000).contains(&micros), "{micros}");
    assert_eq!(end.code, Some(0), "{end:?}");
    std::fs::remove_file(&path).unwrap();
}

/// Starts a victim that gets the listener as systemd passes it: as descriptor
/// 3, with the variables of the protocol.
fn activate(listener: &TcpListener) -> Victim {
    // The shell becomes the victim, so that its own PID is the one to tell.
    let script = r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" serve 3<&0 </dev/null"#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(victim::path());
    command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
    Victim::run(&mut command, &[("ZDD_SHUTDOWN_DEADLINE", "2s")])
}

/// Connects and sends a request, whether or not anybody accepts.
fn ask(listener: &TcpListener) -> TcpStream {
    let mut io = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    io.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    io.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    io
}

fn answer(mut io: TcpStream) -> String {
    let mut answer = String::new();
    io.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_passed_socket_is_served_and_its_queue_outlives_the_process() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = activate(&listener);
    assert_eq!(first.address(), listener.local_addr().unwrap());
    assert!(answer(ask(&listener)).ends_with("hello"));
    let end = first.end_by("TERM");
    assert_eq!(end.code, Some(0), "{end:?}");

    // Nobody accepts now, and nobody is refused.
    let waiting: Vec<_> = (0..20).map(|_| ask(&listener)).collect();
    let second = activate(&listener);
    for io in waiting {
        assert!(answer(io).ends_with("hello"));
    }
    assert_eq!(second.end_by("TERM").code, Some(0));
}
