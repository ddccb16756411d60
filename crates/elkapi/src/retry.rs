//! What may be repeated, and after which pause.
//!
//! Repeated by itself is only what cannot be charged twice: requests that did not leave whole, and
//! refusals for which the gateway takes no money. Everything else that may have been billed is
//! repeated only when the caller says so. Pure: no I/O, no clock.

use std::time::Duration;

use crate::error::{Billed, Error, Kind, Limit};

/// The longest pause between attempts, and the longest that a server may ask for: beyond it the
/// call ends and says when to come back.
const LONGEST_BACKOFF: Duration = Duration::from_secs(8);
const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// How a client repeats.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Attempts after the first.
    pub max_retries: u32,
    /// The first pause; each further one is twice as long.
    pub base_delay: Duration,
    /// Also repeat what may have been billed.
    pub risky: bool,
}

impl Policy {
    /// The pause before the next attempt, or `None` to end with this error.
    ///
    /// `retries` counts the repetitions so far; `random` is from 0 to 1; `left` is what remains of
    /// the call's total.
    pub fn pause(
        &self,
        error: &Error,
        retries: u32,
        random: f64,
        left: Option<Duration>,
    ) -> Option<Duration> {
        if retries >= self.max_retries || !(error.retryable() || self.risky && is_risky(error)) {
            return None;
        }
        let pause = match error.retry_after_ms() {
            Some(asked) => Some(Duration::from_millis(asked)).filter(|asked| *asked <= LONGEST_ASKED)?,
            None => self.backoff(retries, random),
        };
        // A pause that outlasts the call would only end it later.
        left.is_none_or(|left| pause < left).then_some(pause)
    }

    /// Doubles each time; between half and the whole of it, so that clients do not come back together.
    fn backoff(&self, retries: u32, random: f64) -> Duration {
        let whole = self.base_delay.saturating_mul(1u32.checked_shl(retries).unwrap_or(u32::MAX));
        whole.min(LONGEST_BACKOFF).mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

/// Failures that may pass, although the request may have run.
fn is_risky(error: &Error) -> bool {
    let passing = matches!(
        error.kind(),
        Kind::Server
            | Kind::BadGateway
            | Kind::Unavailable
            | Kind::Overloaded
            | Kind::Timeout
            | Kind::Connection
    );
    passing && error.billed() != Billed::No && error.limit() != Some(Limit::Total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { max_retries: 2, base_delay: Duration::from_millis(500), risky: false };

    fn refusal(retryable: bool, billed: Billed) -> Error {
        Error::new(Kind::Server, "x").with_retryable(retryable).with_billed(billed)
    }

    fn ms(pause: Option<Duration>) -> Option<u128> {
        pause.map(|pause| pause.as_millis())
    }

    #[test]
    fn pauses_double_with_jitter_and_end_after_the_last_retry() {
        let error = refusal(true, Billed::No);
        assert_eq!(ms(POLICY.pause(&error, 0, 0.0, None)), Some(250));
        assert_eq!(ms(POLICY.pause(&error, 0, 1.0, None)), Some(500));
        assert_eq!(ms(POLICY.pause(&error, 1, 1.0, None)), Some(1000));
        assert_eq!(POLICY.pause(&error, 2, 1.0, None), None);
        let many = Policy { max_retries: 100, ..POLICY };
        assert_eq!(ms(many.pause(&error, 50, 1.0, None)), Some(8000));
    }

    #[test]
    fn what_may_have_been_billed_is_repeated_only_on_request() {
        let risky = Policy { risky: true, ..POLICY };
        for (error, plain, on_request) in [
            (refusal(false, Billed::Maybe), false, true),
            (refusal(false, Billed::No), false, false),
            (Error::new(Kind::Timeout, "x"), false, true),
            (Error::new(Kind::Timeout, "x").with_limit(Limit::Total), false, false),
            (Error::new(Kind::Decode, "x"), false, false),
            (Error::new(Kind::Cancelled, "x"), false, false),
        ] {
            assert_eq!(POLICY.pause(&error, 0, 0.0, None).is_some(), plain, "{error}");
            assert_eq!(risky.pause(&error, 0, 0.0, None).is_some(), on_request, "{error}");
        }
    }

    #[test]
    fn the_servers_wish_is_honoured_up_to_two_minutes_and_the_deadline() {
        let asked = |ms| refusal(true, Billed::No).with_retry_after_ms(Some(ms));
        assert_eq!(ms(POLICY.pause(&asked(0), 0, 1.0, None)), Some(0));
        assert_eq!(ms(POLICY.pause(&asked(120_000), 0, 1.0, None)), Some(120_000));
        assert_eq!(POLICY.pause(&asked(120_001), 0, 1.0, None), None);
        assert_eq!(POLICY.pause(&asked(3_000), 0, 1.0, Some(Duration::from_secs(2))), None);
    }
}
