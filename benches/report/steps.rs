//! Counts instructions by stepping through a child process one by one: exact without hardware counters, and with the
//! SHA extensions that an emulator hides.

use std::iter;

use crate::case::Case;
use crate::rounds::median;

/// How often a case runs before it is counted, so that nothing is counted that happens once.
const WARM_UP: usize = 40;

/// The instructions of each case for one request: the median of several, each of which is counted by itself.
///
/// The kernel's code that reads the clock starts again when a tick of the timer interrupts it. Stepping makes that likely,
/// on a busy machine above all, so a mean would count the machine.
#[expect(unsafe_code, reason = "fork and ptrace")]
pub(crate) fn count(cases: &mut [Case]) -> Vec<f64> {
    // SAFETY: the child runs the cases and ends without returning. Nothing in it waits for a thread that the fork has
    // left behind.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        run(cases);
    }
    let counted = cases.iter().map(|case| {
        wait(child);
        let nothing = step_to_stop(child);
        let requests: Vec<_> = (0..case.stepped).map(|_| step_to_stop(child) as f64 - nothing as f64).collect();
        resume(child);
        median(requests)
    });
    let counted = counted.collect();
    wait(child);
    counted
}

/// In the child: stops before a case, after no request of it, and after each that is counted.
#[expect(unsafe_code, reason = "ptrace")]
fn run(cases: &mut [Case]) -> ! {
    // SAFETY: as above.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
    for case in cases {
        (case.run)(WARM_UP);
        stop();
        for requests in iter::once(0).chain(iter::repeat_n(1, case.stepped)) {
            (case.run)(requests);
            stop();
        }
    }
    // SAFETY: no destructor is to run twice.
    unsafe { libc::_exit(0) }
}

#[expect(unsafe_code, reason = "raise")]
fn stop() {
    // SAFETY: the parent continues this process.
    unsafe { libc::raise(libc::SIGSTOP) };
}

#[expect(unsafe_code, reason = "ptrace")]
fn step_to_stop(child: libc::pid_t) -> u64 {
    for steps in 0.. {
        // SAFETY: the child is stopped.
        unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, child, 0, 0) };
        if wait(child) == libc::SIGSTOP {
            return steps;
        }
    }
    unreachable!("the child stops by itself")
}

#[expect(unsafe_code, reason = "ptrace")]
fn resume(child: libc::pid_t) {
    // SAFETY: the child is stopped.
    unsafe { libc::ptrace(libc::PTRACE_CONT, child, 0, 0) };
}

/// The signal that stopped the child, or 0 where it has ended.
#[expect(unsafe_code, reason = "waitpid")]
fn wait(child: libc::pid_t) -> libc::c_int {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child, "waitpid: {}", std::io::Error::last_os_error());
    if libc::WIFSTOPPED(status) {
        return libc::WSTOPSIG(status);
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "the child ended with {status:#x}");
    0
}
