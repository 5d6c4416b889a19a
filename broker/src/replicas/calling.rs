//! The future of a call.

use super::{flight::Flight, group::Group, outcome};
use crate::plugin::Wanted;
use bulkhead_shared::{
    outcome::{Outcome, Refusal},
    value::Value,
};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// A call that is awaited: its results, or any other end. It needs no particular executor, and borrows nothing.
///
/// **The call begins when this is polled for the first time.** Its answer is looked for then, for some microseconds at most; after
/// that the task is woken when the call is over. From then on the call goes on by itself, whether this is polled or not, and its
/// deadline holds. The time counts from the first poll, and includes the wait for a replica.
///
/// **Dropping it cancels the call.** One that still waits for a replica is taken out of the queue; one that a replica is at cannot
/// be taken back, so that replica is ended, unless its answer is already there, and the next call has another. That does not count
/// as a loss (`supervision.restarts`). What the call had done by then it has done. One that was never polled costs nothing.
///
/// It keeps the plugin and its broker: their workers end after the last such call is over or dropped.
///
/// Encoding arguments and decoding results takes time in proportion to their size: the first poll encodes, the broker's one thread for
/// such calls decodes, and where they are large a thread of the call's own.
#[must_use = "futures do nothing unless they are polled"]
pub struct Calling {
    stage: Stage,
}

enum Stage {
    New(Arc<Group>, Result<Wanted, Outcome>, Option<Duration>),
    Flying(Arc<Flight>),
    Over,
}

impl Calling {
    pub(super) fn new(group: &Arc<Group>, wanted: Result<Wanted, Outcome>, timeout: Option<Duration>) -> Calling {
        Calling { stage: Stage::New(group.clone(), wanted, timeout) }
    }

    /// The same, with its results in the outcome.
    pub(super) fn outcome(self) -> impl Future<Output = Outcome> + Send + Unpin {
        ToOutcome(self)
    }
}

impl Future for Calling {
    type Output = Result<Vec<Value>, Outcome>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let flight = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::New(group, wanted, timeout) => {
                match wanted.and_then(|wanted| Flight::launch(&group, wanted, timeout, context)) {
                    Ok(flight) => flight,
                    Err(outcome) => return Poll::Ready(Err(outcome)),
                }
            }
            Stage::Flying(flight) => flight,
            Stage::Over => {
                let message = "the call is over, and its end was told".to_owned();
                return Poll::Ready(Err(Outcome::Refused(Refusal { message })));
            }
        };
        let polled = flight.poll(context);
        if polled.is_pending() {
            self.stage = Stage::Flying(flight);
        }
        polled
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        if let Stage::Flying(flight) = &self.stage {
            flight.cancel();
        }
    }
}

struct ToOutcome(Calling);

impl Future for ToOutcome {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.0).poll(context).map(outcome)
    }
}
