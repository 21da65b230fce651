//! An interrupt while the terminal does not echo.

#[cfg(unix)]
use std::{
    io,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
};

/// Keeps an interrupt from ending the process, until it is dropped: `rpassword` passes Ctrl-C on before it restores the
/// terminal, which would echo nothing any more.
#[cfg(unix)]
pub(crate) struct HeldInterrupt {
    ends_process: Arc<AtomicBool>,
}

#[cfg(unix)]
impl HeldInterrupt {
    pub(crate) fn new() -> io::Result<Self> {
        let ends_process = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register_conditional_default(signal_hook::consts::SIGINT, Arc::clone(&ends_process))?;
        Ok(Self { ends_process })
    }
}

#[cfg(unix)]
impl Drop for HeldInterrupt {
    fn drop(&mut self) {
        self.ends_process.store(true, Ordering::SeqCst);
    }
}

/// The console of Windows restores itself.
#[cfg(not(unix))]
pub(crate) struct HeldInterrupt;

#[cfg(not(unix))]
impl HeldInterrupt {
    pub(crate) const fn new() -> std::io::Result<Self> {
        Ok(Self)
    }
}
