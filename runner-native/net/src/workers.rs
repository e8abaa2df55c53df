//! The threads of a runtime. One of them, the leader, does the work and waits for the poller, as long as it can; the others
//! help when it has no time left, and one of them takes over when a task keeps the leader from the poller.
//!
//! A wake-up that crosses threads costs more than most of the work here, and what one thread does in a row it reads and
//! writes in few, large pieces. So a second thread is worth its price only when the first has no time left.

use std::future::{Future, pending};
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::task::{Context, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use async_executor::Executor;
use futures_util::FutureExt;

use super::cpu_usage::{CpuUsage, HelpPeriod, HelpVerdict};
use super::leader_watch::{LeaderState, LeaderWatch};
use super::poller::PollEvents;
use super::reactor::Reactor;
use super::runtime_handle::RuntimeHandle;

/// How long a thread helps before it looks whether that is worth it. Shorter, and one burst of work or of other processes
/// would decide.
const HELP_DURATION: Duration = Duration::from_millis(100);
/// How long no thread is called after help that was not worth it: what it takes is a twentieth of the time at most.
const HELP_PAUSE: Duration = Duration::from_secs(2);
/// How often the monitor looks whether the leader gets on.
const MONITOR_TICK: Duration = Duration::from_millis(25);

/// What the threads are asked to do.
#[derive(Debug, Default)]
struct Calls {
    stop: bool,
    /// A thread must become the leader of this generation.
    lead: Option<u64>,
    help: bool,
    /// No thread is called before.
    help_pauses_until: Option<Instant>,
    helping: usize,
    running: usize,
}

/// Counts the leaders: one of an older generation was replaced. Locked by the leader while it waits for the poller,
/// so that it is not replaced then.
type Generation = Mutex<u64>;

/// What the threads of one runtime share.
#[derive(Debug)]
pub(crate) struct Workers {
    reactor: Arc<Reactor>,
    generation: Generation,
    calls: Mutex<Calls>,
    changed: Condvar,
    /// Helpers are to look at the calls.
    interrupted: AtomicBool,
    stopping: AtomicBool,
    /// Rounds of the leader.
    turns: AtomicU64,
    monitor_sleeps: AtomicBool,
    threads: OnceLock<Threads>,
}

#[derive(Debug)]
struct Threads {
    workers: Mutex<Vec<JoinHandle<()>>>,
    handles: Vec<Thread>,
    monitor: Thread,
}

impl Workers {
    /// Starts `count` threads and the monitor.
    pub(crate) fn start(
        count: usize,
        handle: &RuntimeHandle,
        executor: &Arc<Executor<'static>>,
        reactor: Arc<Reactor>,
    ) -> io::Result<Arc<Self>> {
        let workers = Arc::new(Self {
            reactor,
            generation: Mutex::new(0),
            calls: Mutex::new(Calls { lead: Some(0), ..Calls::default() }),
            changed: Condvar::new(),
            interrupted: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            monitor_sleeps: AtomicBool::new(false),
            threads: OnceLock::new(),
        });
        let mut started = Vec::new();
        for n in 1..=count {
            let (ours, handle, executor) = (Arc::clone(&workers), handle.clone(), Arc::clone(executor));
            let work = move || {
                let _inside = handle.enter();
                ours.work(&executor);
                // Before it counts as ended: the runtime drops every task with the last reference.
                drop(executor);
                ours.ended();
            };
            workers.calls().running += 1;
            match thread::Builder::new().name(format!("worker-{n}")).spawn(work) {
                Ok(thread) => started.push(thread),
                Err(error) => {
                    workers.calls().running -= 1;
                    return Err(workers.give_up(started, error));
                }
            }
        }
        let monitoring = Arc::clone(&workers);
        let monitor = thread::Builder::new().name("monitor".to_owned()).spawn(move || monitoring.monitor());
        let monitor = match monitor {
            Ok(monitor) => monitor,
            Err(error) => return Err(workers.give_up(started, error)),
        };
        let handles = started.iter().map(|thread| thread.thread().clone()).collect();
        let thread = monitor.thread().clone();
        started.push(monitor);
        let threads = Threads { workers: Mutex::new(started), handles, monitor: thread };
        workers.threads.set(threads).expect("it is set here alone");
        Ok(workers)
    }

    fn give_up(&self, started: Vec<JoinHandle<()>>, error: io::Error) -> io::Error {
        self.ask_to_stop();
        started.into_iter().for_each(|thread| drop(thread.join()));
        error
    }

    fn ask_to_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.calls().stop = true;
        self.interrupted.store(true, Ordering::SeqCst);
        self.changed.notify_all();
        self.reactor.notify();
        if let Some(threads) = self.threads.get() {
            threads.handles.iter().for_each(Thread::unpark);
            threads.monitor.unpark();
        }
    }

    /// Ends the threads. `false`: some did not end within `limit`.
    pub(crate) fn stop(&self, limit: Duration) -> bool {
        self.ask_to_stop();
        let Some(threads) = self.threads.get() else { return true };
        let own = thread::current().id();
        // A runtime that is dropped by one of its own tasks does not wait for that task's thread.
        let remaining = usize::from(threads.handles.iter().any(|thread| thread.id() == own));
        let calls = self.calls();
        let waited = self.changed.wait_timeout_while(calls, limit, |calls| calls.running > remaining);
        let (calls, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let all = calls.running <= remaining;
        drop(calls);
        let threads = std::mem::take(&mut *lock(&threads.workers));
        for thread in threads {
            if thread.thread().id() != own && (all || thread.is_finished()) {
                drop(thread.join());
            }
        }
        all
    }

    fn ended(&self) {
        self.calls().running -= 1;
        self.changed.notify_all();
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        lock(&self.calls)
    }

    /// The life of a thread.
    fn work(&self, executor: &Executor<'static>) {
        loop {
            let calls = self.calls();
            let waits = |calls: &mut Calls| !calls.stop && calls.lead.is_none() && !calls.help;
            let called = self.changed.wait_while(calls, waits);
            let mut calls = called.unwrap_or_else(PoisonError::into_inner);
            if calls.stop {
                return;
            }
            match calls.lead.take() {
                Some(generation) => {
                    self.interrupted.store(false, Ordering::SeqCst);
                    drop(calls);
                    self.run_leader(executor, generation);
                }
                None => {
                    calls.help = false;
                    calls.helping += 1;
                    drop(calls);
                    self.help(executor);
                    self.calls().helping -= 1;
                }
            }
        }
    }

    /// Does everything, until another thread is told to lead.
    fn run_leader(&self, executor: &Executor<'static>, generation: u64) {
        let waker = Waker::from(Arc::clone(&self.reactor));
        let mut cx = Context::from_waker(&waker);
        let mut tasks = pin!(run_tasks(executor));
        let mut usage = CpuUsage::new();
        let _leading = self.reactor.leading();
        let mut events = PollEvents::new();
        let mut is_first = true;
        loop {
            if !is_first {
                poll(tasks.as_mut(), &mut cx);
            }
            let current = match self.generation.try_lock() {
                Ok(current) => current,
                Err(TryLockError::Poisoned(error)) => error.into_inner(),
                // Another thread leads, or is about to. Waiting for it here would keep wake-ups from it that the executor has
                // meant for this thread.
                Err(TryLockError::WouldBlock) => return,
            };
            if *current != generation || self.stopping.load(Ordering::SeqCst) {
                return;
            }
            if std::mem::take(&mut is_first) {
                self.reactor.begin();
                continue;
            }
            if usage.is_saturated() {
                self.call_for_help();
            }
            self.turns.fetch_add(1, Ordering::Relaxed);
            self.reactor.wait(&mut events);
            drop(current);
            if self.monitor_sleeps.load(Ordering::SeqCst)
                && let Some(threads) = self.threads.get()
            {
                self.monitor_sleeps.store(false, Ordering::SeqCst);
                threads.monitor.unpark();
            }
        }
    }

    fn call_for_help(&self) {
        let mut calls = self.calls();
        if calls.help_pauses_until.is_none_or(|until| until <= Instant::now()) {
            calls.help = true;
            self.changed.notify_one();
        }
    }

    /// Does a share as long as that is worth it. It uses no timer for the end: no thread may be left to fire it.
    fn help(&self, executor: &Executor<'static>) {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        let mut tasks = pin!(run_tasks(executor));
        let mut period = HelpPeriod::new();
        while !self.interrupted.load(Ordering::SeqCst) {
            poll(tasks.as_mut(), &mut cx);
            let left = period.left(HELP_DURATION);
            if !left.is_zero() {
                thread::park_timeout(left);
                continue;
            }
            let mut calls = self.calls();
            match period.verdict(calls.helping) {
                HelpVerdict::Worth => period = HelpPeriod::new(),
                HelpVerdict::NotWorth => {
                    calls.help_pauses_until = Some(Instant::now() + HELP_PAUSE);
                    return;
                }
                HelpVerdict::Unknown => return,
            }
        }
    }

    /// Looks whether the leader comes back to the poller, and has it replaced if it does not.
    fn monitor(&self) {
        let mut watch = LeaderWatch::default();
        while !self.stopping.load(Ordering::SeqCst) {
            thread::park_timeout(MONITOR_TICK);
            match watch.look(self.turns.load(Ordering::Relaxed), self.reactor.is_waiting()) {
                LeaderState::Busy => {}
                LeaderState::Idle => self.sleep_until_there_is_work(),
                LeaderState::Stuck => self.replace_leader(),
            }
        }
    }

    fn sleep_until_there_is_work(&self) {
        self.monitor_sleeps.store(true, Ordering::SeqCst);
        // The leader looks at it after it has woken up: one of the two sees the other.
        while self.monitor_sleeps.load(Ordering::SeqCst)
            && self.reactor.is_waiting()
            && !self.stopping.load(Ordering::SeqCst)
        {
            thread::park();
        }
        self.monitor_sleeps.store(false, Ordering::SeqCst);
    }

    fn replace_leader(&self) {
        let mut generation = match self.generation.try_lock() {
            Ok(generation) => generation,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            // It waits for the poller after all.
            Err(TryLockError::WouldBlock) => return,
        };
        let mut calls = self.calls();
        if calls.lead.is_some() {
            // No thread was free to take over when it was called last.
            return;
        }
        *generation += 1;
        calls.lead = Some(*generation);
        drop((calls, generation));
        tracing::info!("a task does not yield: another thread takes over");
        self.interrupted.store(true, Ordering::SeqCst);
        self.changed.notify_all();
        if let Some(threads) = self.threads.get() {
            threads.handles.iter().for_each(Thread::unpark);
        }
    }
}

/// Runs tasks until it is dropped. The executor lets a panicking task's panic through to the thread that ran it.
async fn run_tasks(executor: &Executor<'static>) {
    while AssertUnwindSafe(executor.run(pending::<()>())).catch_unwind().await.is_err() {}
}

fn poll(tasks: Pin<&mut impl Future<Output = ()>>, cx: &mut Context<'_>) {
    let _never = tasks.poll(cx);
}

/// A panic outside a task is a bug; the other threads go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes a helper.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
