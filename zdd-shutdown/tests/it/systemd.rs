//! Notifications to systemd, played by a datagram socket.

use std::{os::unix::net::UnixDatagram, time::Duration};

use crate::victim::Victim;

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
