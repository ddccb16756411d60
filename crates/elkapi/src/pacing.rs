//! Pacing: learns from refusals how many calls a second a server takes, and starts no more.
//!
//! The rate grows a little with every call that had to wait for its turn and was taken, and shrinks
//! when one is refused for the rate (429, 503); what a server says itself (`Retry-After`,
//! `x-ratelimit-…`) holds all calls up. One [`Pacer`] for a client and those made of it; off unless
//! asked for. The arithmetic is pure: the caller tells the time and does the waiting.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind};
use crate::reply::Headers;

/// What is left of the rate after a refusal.
const CUT: f64 = 0.8;
/// How much the rate grows in a second in which every call is taken, as a part of the rate after the
/// last refusal; and at least, in calls a second.
const GROWTH: f64 = 0.03;
const LEAST_GROWTH: f64 = 0.5;
const LEAST_RATE: f64 = 0.2;
/// Rates are per second, so what a cut brought is known after one.
const SECOND: Duration = Duration::from_secs(1);
/// The longest that a server may hold all calls up.
const LONGEST_HOLD: Duration = Duration::from_secs(120);
/// How often a call that is refused for the rate is repeated where pacing is on.
pub(crate) const REPEATS: u32 = 16;

/// Learns one server's rate.
#[derive(Debug, Default)]
pub(crate) struct Pacer(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Calls a second; none until one was refused.
    rate: Option<f64>,
    /// By how much it grows in a second.
    growth: f64,
    /// When the next call may start.
    next: Option<Instant>,
    /// Earlier turns that were given back; else calls that do not wait long enough for theirs would put
    /// everybody else's off for ever.
    given_back: BTreeSet<Instant>,
    /// Nothing starts before: the server said so.
    hold: Option<Instant>,
    last_cut: Option<Instant>,
    /// When the calls of the last second were taken.
    taken: VecDeque<Instant>,
    under_way: usize,
}

/// A call's turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Turn {
    /// When it is.
    pub at: Instant,
    /// The call has to wait for it.
    pub waits: bool,
    /// The present limit in calls a second, where there is one.
    pub rate: Option<f64>,
}

/// What a call came to, for the pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    Taken,
    /// For the rate; after this long the server wants to be asked again.
    Refused(Option<Duration>),
    /// Tells nothing of the rate.
    Other,
}

impl Outcome {
    /// Of a call that failed.
    pub fn of(error: &Error) -> Outcome {
        let for_the_rate = error.kind() == Kind::RateLimit || error.status() == Some(503);
        if for_the_rate {
            Outcome::Refused(error.retry_after_ms().map(Duration::from_millis))
        } else {
            Outcome::Other
        }
    }
}

impl Pacer {
    /// Reserves the next call's turn.
    pub fn turn(&self, now: Instant) -> Turn {
        self.state().turn(now)
    }

    /// Another turn in place of one that has come, where the server wants nothing to start now; else all
    /// whose turns lay within its pause would start together when it ends.
    pub fn put_off(&self, now: Instant, turn: Turn) -> Option<Turn> {
        self.state().put_off(now, turn)
    }

    /// The call did not start after all: its turn is another's.
    pub fn forgo(&self, turn: Turn) {
        self.state().forgo(turn);
    }

    /// Learns from what a call came to, which started at its turn.
    pub fn learn(&self, now: Instant, turn: Turn, outcome: Outcome, headers: Option<&Headers>) {
        let mut state = self.state();
        state.learn(now, turn, outcome);
        if let Some(pause) = headers.and_then(exhausted_for) {
            state.hold(now, pause);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn turn(&mut self, now: Instant) -> Turn {
        self.under_way += 1;
        let earliest = self.hold.map_or(now, |hold| hold.max(now));
        self.given_back = self.given_back.split_off(&earliest);
        if let Some(at) = self.given_back.pop_first() {
            return Turn { at, waits: at > now, rate: self.rate };
        }
        let at = [Some(now), self.next, self.hold].into_iter().flatten().max().unwrap_or(now);
        if let Some(rate) = self.rate {
            self.next = Some(at + Duration::from_secs_f64(1.0 / rate));
        }
        Turn { at, waits: at > now, rate: self.rate }
    }

    fn put_off(&mut self, now: Instant, turn: Turn) -> Option<Turn> {
        self.hold.filter(|hold| *hold > now)?;
        self.forgo(turn);
        Some(self.turn(now))
    }

    fn forgo(&mut self, turn: Turn) {
        self.under_way = self.under_way.saturating_sub(1);
        if turn.waits {
            self.given_back.insert(turn.at);
        }
    }

    fn learn(&mut self, now: Instant, turn: Turn, outcome: Outcome) {
        self.under_way = self.under_way.saturating_sub(1);
        while self.taken.front().is_some_and(|at| now.saturating_duration_since(*at) > SECOND) {
            self.taken.pop_front();
        }
        match outcome {
            Outcome::Taken => {
                self.taken.push_back(now);
                // A rate that was not used up says nothing of the server.
                if let (Some(rate), true) = (&mut self.rate, turn.waits) {
                    *rate += self.growth / *rate;
                }
            }
            Outcome::Refused(pause) => {
                // Those that started before the last cut tell nothing new.
                let is_news = self.last_cut.is_none_or(|cut| turn.at > cut && now >= cut + SECOND);
                if is_news {
                    self.cut(now, turn);
                }
                if let Some(pause) = pause {
                    self.hold(now, pause);
                }
            }
            Outcome::Other => {}
        }
    }

    fn cut(&mut self, now: Instant, turn: Turn) {
        let taken = self.taken.len() as f64;
        let seen = match self.rate {
            // What is under way may yet be taken.
            None => (taken + self.under_way as f64).max(1.0),
            // Calls waited, so more would have been taken had the server let them. A second says little
            // of a rate below one, so it is halved at most.
            Some(rate) if turn.waits => rate.min(taken.max(rate / 2.0)),
            Some(rate) => rate,
        };
        let rate = (seen * CUT).max(LEAST_RATE);
        self.rate = Some(rate);
        self.growth = (rate * GROWTH).max(LEAST_GROWTH);
        self.last_cut = Some(now);
        self.next = self.next.max(Some(now));
    }

    fn hold(&mut self, now: Instant, pause: Duration) {
        if pause <= LONGEST_HOLD {
            self.hold = self.hold.max(Some(now + pause));
        }
    }
}

/// How long nothing is left, where the server says so: `x-ratelimit-remaining-requests` and
/// `x-ratelimit-reset-requests` (`1s`, `6m0s`), or `ratelimit-remaining` and `ratelimit-reset` (seconds).
fn exhausted_for(headers: &Headers) -> Option<Duration> {
    for (remaining, reset) in [
        ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
        ("ratelimit-remaining", "ratelimit-reset"),
    ] {
        if headers.get(remaining).is_some_and(|left| left.trim() == "0") {
            return headers.get(reset).and_then(|text| duration(text.trim()));
        }
    }
    None
}

/// `2`, `1.5s`, `20ms`, `6m0s`.
fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, seconds) = [("ms", 0.001), ("us", 0.000_001), ("h", 3600.0), ("m", 60.0), ("s", 1.0)]
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))?;
        total += number * seconds;
        rest = &rest[unit.len()..];
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn free(at: Instant) -> Turn {
        Turn { at, waits: false, rate: None }
    }

    #[test]
    fn nobody_waits_until_a_call_was_refused() {
        let (mut state, start) = (State::default(), Instant::now());
        for _ in 0..1_000 {
            assert_eq!(state.turn(start), free(start));
        }
    }

    #[test]
    fn after_a_refusal_calls_start_at_the_rate_that_was_seen() {
        let (mut state, start) = (State::default(), Instant::now());
        for _ in 0..21 {
            state.turn(start);
        }
        for _ in 0..10 {
            state.learn(after(start, 20), free(start), Outcome::Taken);
        }
        state.learn(after(start, 20), free(start), Outcome::Refused(None));
        // Ten were taken, ten are under way.
        assert_eq!(state.rate, Some(20.0 * CUT));
        let rate = state.rate.unwrap();
        state.learn(after(start, 30), free(start), Outcome::Refused(None));
        assert_eq!(state.rate, Some(rate), "one of the same crowd");
        let now = after(start, 100);
        let (first, second) = (state.turn(now), state.turn(now));
        assert!(!first.waits && second.waits);
        assert_eq!(second.at, now + Duration::from_secs_f64(1.0 / rate));
    }

    #[test]
    fn the_rate_grows_with_calls_that_waited_and_were_taken() {
        let (mut state, start) = (State::default(), Instant::now());
        state.learn(start, free(start), Outcome::Refused(None));
        let rate = state.rate.unwrap();
        state.learn(after(start, 10), free(after(start, 10)), Outcome::Taken);
        assert_eq!(state.rate, Some(rate));
        let waited = Turn { at: after(start, 20), waits: true, rate: Some(rate) };
        state.learn(after(start, 20), waited, Outcome::Taken);
        assert!(state.rate.unwrap() > rate);
    }

    #[test]
    fn a_turn_that_was_given_back_is_the_next_calls() {
        let (mut state, start) = (State::default(), Instant::now());
        state.learn(start, free(start), Outcome::Refused(None));
        let (_first, second, third) = (state.turn(start), state.turn(start), state.turn(start));
        for _ in 0..1_000 {
            state.forgo(second);
            assert_eq!(state.turn(start), second);
        }
        assert!(state.turn(start).at > third.at);
        state.forgo(second);
        let late = state.turn(third.at);
        assert!(late.at > third.at, "one whose time has passed is nobody's");
    }

    #[test]
    fn a_server_that_takes_a_call_in_some_seconds_is_matched() {
        let (mut state, start) = (State::default(), Instant::now());
        state.learn(start, free(start), Outcome::Refused(None));
        for second in 1..10 {
            let at = after(start, second * 2_000);
            let waited = Turn { at, waits: true, rate: state.rate };
            state.learn(at, waited, Outcome::Refused(None));
        }
        assert_eq!(state.rate, Some(LEAST_RATE));
    }

    #[test]
    fn a_servers_wish_holds_all_calls_up() {
        let (mut state, start) = (State::default(), Instant::now());
        state.learn(start, free(start), Outcome::Refused(Some(Duration::from_secs(3))));
        assert_eq!(state.turn(after(start, 10)).at, after(start, 3_000));
        let mut state = State::default();
        state.learn(start, free(start), Outcome::Refused(Some(Duration::from_secs(3_600))));
        assert_eq!(state.turn(after(start, 10)).at, after(start, 10), "an hour is no pace");
    }

    #[test]
    fn calls_whose_turns_lie_within_a_pause_start_one_after_the_other_behind_it() {
        let (mut state, start) = (State::default(), Instant::now());
        state.learn(start, free(start), Outcome::Refused(None));
        let turns: Vec<_> = (0..5).map(|_| state.turn(after(start, 10))).collect();
        state.hold(after(start, 20), Duration::from_secs(60));
        let now = after(start, 30_000);
        let later: Vec<_> = turns.iter().map(|turn| state.put_off(now, *turn).unwrap()).collect();
        assert!(later[0].at >= after(start, 60_020), "{:?}", later[0]);
        let gap = Duration::from_secs_f64(1.0 / state.rate.unwrap());
        for pair in later.windows(2) {
            assert_eq!(pair[1].at, pair[0].at + gap);
        }
        assert_eq!(state.under_way, 5);
        assert_eq!(state.put_off(after(start, 61_000), later[0]), None);
    }

    #[test]
    fn what_rate_limit_fields_say_is_understood() {
        let headers = |fields: &[(&str, &str)]| -> Headers {
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        for (remaining, reset, expected) in [
            ("0", "1s", Some(1_000)),
            ("0", "20ms", Some(20)),
            ("0", "6m0s", Some(360_000)),
            ("0", "1.5", Some(1_500)),
            ("0", "soon", None),
            ("0", "-3", None),
            ("7", "1s", None),
        ] {
            for prefix in [
                ["x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
                ["ratelimit-remaining", "ratelimit-reset"],
            ] {
                let told = headers(&[(prefix[0], remaining), (prefix[1], reset)]);
                assert_eq!(exhausted_for(&told), expected.map(Duration::from_millis), "{remaining} {reset}");
            }
        }
        assert_eq!(exhausted_for(&headers(&[("x-ratelimit-remaining-requests", "0")])), None);
    }
}
