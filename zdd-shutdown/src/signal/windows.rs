//! Console events on Windows.

use std::{io, sync::Arc, thread};

use tokio::signal::windows;

use crate::{force, reason::Signal, shared::Shared};

/// Installs the handlers and starts the thread, which runs a runtime of its
/// own: the program's may be stuck.
///
/// Windows ends the process about 5 s after a close event and 20 s after a
/// shutdown event, whatever the process does; set the deadline accordingly.
pub(crate) fn install(shared: &Arc<Shared>, place: force::Place) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let shared = Arc::clone(shared);
    let context = runtime.enter();
    let (mut interrupt, mut quit) = (windows::ctrl_c()?, windows::ctrl_break()?);
    let (mut close, mut shutdown) = (windows::ctrl_close()?, windows::ctrl_shutdown()?);
    drop(context);
    let body = move || {
        let mut first = None;
        runtime.block_on(async {
            loop {
                let signal = tokio::select! {
                    _ = interrupt.recv() => Signal::Interrupt,
                    _ = quit.recv() => Signal::Quit,
                    _ = close.recv() => Signal::Terminate,
                    _ = shutdown.recv() => Signal::Terminate,
                };
                super::hear(signal, &mut first, &shared, &place);
            }
        });
    };
    thread::Builder::new().name("zdd-signals".into()).spawn(body).map(drop)
}
