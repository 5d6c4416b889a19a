//! Waiting for futures without an executor: one thread that polls what was woken.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// Wakes a thread, and counts how often.
pub struct Counted {
    thread: Thread,
    wakes: AtomicUsize,
}

impl Counted {
    /// For the thread that is here.
    pub fn new() -> Arc<Counted> {
        Arc::new(Counted { thread: thread::current(), wakes: AtomicUsize::new(0) })
    }

    /// How often.
    pub fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }
}

impl Wake for Counted {
    fn wake(self: Arc<Counted>) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// Polls once.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&Waker::from(Counted::new())))
}

/// Waits for a future.
///
/// # Panics
/// Where it is not woken for a minute.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Counted::new();
    let context = Waker::from(waker.clone());
    loop {
        let seen = waker.wakes();
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&context)) {
            return output;
        }
        wait_for_more(&waker, seen);
    }
}

/// Waits for all of them, in one thread.
///
/// # Panics
/// Where none is woken for a minute.
pub fn join<F: Future + Unpin>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<(F, Arc<Counted>, Option<usize>)> =
        futures.into_iter().map(|future| (future, Counted::new(), None)).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    let mut last = Instant::now();
    while outputs.iter().any(Option::is_none) {
        for ((future, waker, polled), output) in futures.iter_mut().zip(&mut outputs) {
            let wakes = waker.wakes();
            // What was not woken is not polled.
            if output.is_some() || *polled == Some(wakes) {
                continue;
            }
            *polled = Some(wakes);
            let context = Waker::from(waker.clone());
            if let Poll::Ready(ready) = Pin::new(future).poll(&mut Context::from_waker(&context)) {
                *output = Some(ready);
                last = Instant::now();
            }
        }
        assert!(last.elapsed() < Duration::from_secs(60), "nobody was woken for a minute");
        if outputs.iter().any(Option::is_none) {
            thread::park_timeout(Duration::from_secs(1));
        }
    }
    outputs.into_iter().flatten().collect()
}

fn wait_for_more(waker: &Counted, seen: usize) {
    let begin = Instant::now();
    while waker.wakes() == seen {
        assert!(begin.elapsed() < Duration::from_secs(60), "was not woken for a minute");
        thread::park_timeout(Duration::from_secs(1));
    }
}
