//! Signals on Unix.

use std::{io, sync::Arc, thread};

use signal_hook::{
    consts::{SIGINT, SIGQUIT, SIGTERM},
    iterator::Signals,
};

use crate::{force, reason::Signal, shared::Shared};

/// Installs the handlers and starts the thread. The handlers stay for the life
/// of the process: giving them up would make the second signal deadly or deaf.
pub(crate) fn install(shared: &Arc<Shared>, place: force::Place) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGQUIT, SIGTERM])?;
    let shared = Arc::clone(shared);
    let body = move || {
        let mut first = None;
        for signal in signals.forever() {
            let signal = match signal {
                SIGINT => Signal::Interrupt,
                SIGQUIT => Signal::Quit,
                _ => Signal::Terminate,
            };
            super::hear(signal, &mut first, &shared, &place);
        }
    };
    thread::Builder::new().name("zdd-signals".into()).spawn(body).map(drop)
}
