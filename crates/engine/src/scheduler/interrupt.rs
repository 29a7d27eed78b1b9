//! Stops a guest in the middle of its compiled code, from another thread.
//!
//! [`Interrupt::send`] sends a signal to the guest's thread. When the thread runs compiled code,
//! the handler records the guest's stack and parks the thread for good: compiled code holds no
//! lock of the host, so nothing waits for a parked thread. A host call may hold the lock of the
//! allocator. There the handler only asks for the next host call to stop the thread, and the caller
//! sends the signal again later.
//!
//! The code needs no check for an interruption, which in a loop costs up to twice the time of its
//! other work. A parked thread never goes on, so this is for commands, which end with their
//! process.

use crate::failure::host_calls;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
#[cfg(target_os = "linux")]
use std::sync::atomic::Ordering::{Acquire, Release};

/// Most frames that are recorded. A deeper stack is cut.
const MAX_FRAMES: usize = 64;

/// Whether the platform can stop a guest from outside.
pub(crate) const IS_SUPPORTED: bool =
    cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));

/// Way to stop one guest.
pub(crate) struct Interrupt {
    /// Addresses of the guest's compiled code.
    code: Range<usize>,
    /// Whether the guest is to be stopped. Anybody may send the signal.
    is_wanted: AtomicBool,
    stopped: Mutex<Option<StoppedGuest>>,
}

/// A guest whose thread is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoppedGuest {
    /// Offsets of its frames in the compiled code, innermost first.
    pub frames: Vec<usize>,
    /// Last host calls, if there were any.
    pub calls: Option<String>,
}

impl Interrupt {
    /// Creates the interrupt of a guest whose compiled code is `text`.
    pub fn new(text: &[u8]) -> Arc<Self> {
        let range = text.as_ptr_range();
        let code = range.start.addr()..range.end.addr();
        Arc::new(Interrupt { code, is_wanted: AtomicBool::new(false), stopped: Mutex::new(None) })
    }

    /// Returns the guest, once it is stopped.
    pub fn stopped(&self) -> Option<StoppedGuest> {
        self.stopped.lock().clone()
    }

    /// Records the stack of a thread that runs compiled code, by its frame pointers. Returns
    /// whether the thread does.
    ///
    /// # Safety
    /// `pc` and `frame` are the program counter and the frame pointer of the calling thread, which
    /// may be in a signal handler above them.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other platforms send no signal"))]
    unsafe fn record(&self, pc: usize, frame: usize) -> bool {
        if !self.code.contains(&pc) {
            return false;
        }
        let mut frames = vec![pc - self.code.start];
        let mut frame = frame;
        while frames.len() < MAX_FRAMES && frame != 0 && frame.is_multiple_of(align_of::<[usize; 2]>()) {
            // SAFETY: the thread is in compiled code, or returns to it. Wasmtime's code keeps frame
            // pointers, so this is the frame of a caller: the saved frame pointer, then the return
            // address. The stack is alive while the thread is here.
            let [caller, back] = unsafe { *std::ptr::with_exposed_provenance::<[usize; 2]>(frame) };
            if !self.code.contains(&back) {
                break;
            }
            // The call is before the address to which it returns.
            frames.push(back - 1 - self.code.start);
            frame = caller;
        }
        self.publish(frames);
        true
    }

    fn publish(&self, frames: Vec<usize>) {
        *self.stopped.lock() = Some(StoppedGuest { frames, calls: host_calls::recent() });
    }
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod signal {
    use super::{Acquire, Interrupt, MAX_FRAMES, Release};
    use crate::failure::host_calls;
    use std::cell::Cell;
    use std::ffi::{c_int, c_void};
    use std::io;
    use std::os::unix::thread::JoinHandleExt;
    use std::ptr;
    use std::sync::{Arc, Once};
    use std::thread::JoinHandle;

    /// A signal that no program uses by accident: its default is to be ignored.
    const SIGNAL: c_int = libc::SIGURG;

    thread_local! {
        /// The interrupt of the guest on this thread; null on other threads.
        static CURRENT: Cell<*const Interrupt> = const { Cell::new(ptr::null()) };
    }

    impl Interrupt {
        /// Makes the calling thread the one that [`Interrupt::send`] stops. The interrupt then
        /// lives as long as the process, as a signal may come at any time.
        pub fn register(self: &Arc<Self>) -> io::Result<()> {
            install()?;
            CURRENT.set(Arc::into_raw(self.clone()));
            Ok(())
        }

        /// Sends the signal to `thread`.
        pub fn send<T>(&self, thread: &JoinHandle<T>) {
            self.is_wanted.store(true, Release);
            // SAFETY: a thread that was not joined has a valid handle, even if it has ended.
            unsafe { libc::pthread_kill(thread.as_pthread_t(), SIGNAL) };
        }
    }

    fn install() -> io::Result<()> {
        static INSTALLED: Once = Once::new();
        let mut result = Ok(());
        INSTALLED.call_once(|| {
            // SAFETY: all-zero bytes are a valid `sigaction`, with an empty mask.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = on_signal as *const () as usize;
            // A system call that was interrupted goes on. The stack of a guest may have no room.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
            // SAFETY: the handler has the type that SA_SIGINFO asks for, and does what its own
            // comment allows.
            if unsafe { libc::sigaction(SIGNAL, &action, ptr::null_mut()) } != 0 {
                result = Err(io::Error::last_os_error());
            }
        });
        result
    }

    /// Parks a thread that runs compiled code. Nothing but compiled code was interrupted then, so
    /// the handler may allocate and take locks.
    extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
        let current = CURRENT.get();
        if current.is_null() || context.is_null() {
            return;
        }
        // SAFETY: with SA_SIGINFO the kernel passes the context of the interrupted thread.
        let context = unsafe { &*context.cast::<libc::ucontext_t>() };
        let (pc, frame) = registers(context);
        // SAFETY: `register` leaked the interrupt.
        let interrupt = unsafe { &*current };
        if !interrupt.is_wanted.load(Acquire) {
            return;
        }
        // SAFETY: these are the registers of this thread, which the handler interrupts.
        if unsafe { interrupt.record(pc, frame) } {
            loop {
                // SAFETY: waits for a signal, and has no other effect.
                unsafe { libc::pause() };
            }
        }
        host_calls::at_next_call(stop_in_host_call);
    }

    /// Records the stack of this thread, which is at the start of a host call, and parks it.
    fn stop_in_host_call() {
        // SAFETY: `register` leaked the interrupt of this thread, which the signal was for.
        let interrupt = unsafe { &*CURRENT.get() };
        let mut frames = StackOf { interrupt, offsets: Vec::new() };
        // SAFETY: `visit` has the type that the unwinder calls, with the pointer that it gets here.
        unsafe { _Unwind_Backtrace(visit, ptr::from_mut(&mut frames).cast()) };
        interrupt.publish(frames.offsets);
        loop {
            std::thread::park();
        }
    }

    struct StackOf<'a> {
        interrupt: &'a Interrupt,
        /// Offsets in the compiled code; frames of the host are left out.
        offsets: Vec<usize>,
    }

    /// Adds a frame of the unwinder. Returns `_URC_NO_REASON` to go on, and `_URC_END_OF_STACK` at
    /// the end.
    extern "C" fn visit(frame: *mut c_void, stack: *mut c_void) -> c_int {
        // SAFETY: `stop_in_host_call` passes this pointer, and uses it again after the last call.
        let stack = unsafe { &mut *stack.cast::<StackOf<'_>>() };
        // SAFETY: the unwinder calls with its own frame.
        let back = unsafe { _Unwind_GetIP(frame) };
        if stack.interrupt.code.contains(&back) {
            stack.offsets.push(back - 1 - stack.interrupt.code.start);
        }
        if stack.offsets.len() < MAX_FRAMES { 0 } else { 5 }
    }

    // The unwinder of the Itanium C++ ABI, which the standard library links. It knows compiled
    // code, since wasmtime registers it.
    unsafe extern "C" {
        fn _Unwind_Backtrace(visit: extern "C" fn(*mut c_void, *mut c_void) -> c_int, data: *mut c_void) -> c_int;
        fn _Unwind_GetIP(frame: *mut c_void) -> usize;
    }

    /// Returns the program counter and the frame pointer.
    #[cfg(target_arch = "x86_64")]
    fn registers(context: &libc::ucontext_t) -> (usize, usize) {
        let of = |register: c_int| context.uc_mcontext.gregs[usize::try_from(register).unwrap_or(0)].cast_unsigned();
        let address = |value: u64| usize::try_from(value).unwrap_or(0);
        (address(of(libc::REG_RIP)), address(of(libc::REG_RBP)))
    }

    /// Returns the program counter and the frame pointer.
    #[cfg(target_arch = "aarch64")]
    fn registers(context: &libc::ucontext_t) -> (usize, usize) {
        let address = |value: u64| usize::try_from(value).unwrap_or(0);
        (address(context.uc_mcontext.pc), address(context.uc_mcontext.regs[29]))
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
impl Interrupt {
    /// Does nothing: the guest's code checks its limits itself.
    pub fn register(self: &Arc<Self>) -> std::io::Result<()> {
        Ok(())
    }

    /// Does nothing: the guest's code checks its limits itself.
    pub fn send<T>(&self, _: &std::thread::JoinHandle<T>) {}
}
