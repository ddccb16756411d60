//! Steering by URL: which part of the simulator answers, and with what changes.
//!
//! A target is read from left to right: any of `/s/SCOPE`, `/reframe/MODE` and `/delay/MS` in any
//! order, then the place. Pure.

use std::time::Duration;

use crate::reply::Reframe;

/// A request target, taken apart.
#[derive(Debug, PartialEq)]
pub(crate) struct Route<'a> {
    /// Under which name the request is counted besides the common counters.
    pub(crate) scope: Option<&'a str>,
    pub(crate) reframe: Option<Reframe>,
    /// Pause before each reply.
    pub(crate) delay: Duration,
    pub(crate) place: Place<'a>,
}

/// Who answers.
#[derive(Debug, PartialEq)]
pub(crate) enum Place<'a> {
    /// The ordinary gateway; the path starts with `/v1`.
    Gateway(&'a str),
    /// The replay of a fixture.
    Wire(&'a str),
    /// A fault, with the path it was asked for.
    Fault { name: &'a str, path: &'a str },
    /// The counters, and what is known about faults.
    Control(Control),
    /// The gateway's web page, which answers whatever is not under `/v1`.
    Dashboard,
    /// A steering prefix that makes no sense; the sentence says why.
    Wrong(String),
}

/// A request to the simulator itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Control {
    Stats,
    Reset,
    Faults,
    /// What the next chat calls are answered with.
    Next,
    /// The last requests, with their bodies.
    Requests,
}

/// Takes `target` apart.
pub(crate) fn steer(target: &str) -> Route<'_> {
    let mut path = without_query(without_authority(target));
    let mut route = Route { scope: None, reframe: None, delay: Duration::ZERO, place: Place::Dashboard };
    loop {
        let Some((first, rest)) = split_segment(path) else {
            return route;
        };
        match first {
            "s" => match split_segment(rest) {
                Some((scope, rest)) if !scope.is_empty() => {
                    route.scope = Some(scope);
                    path = rest;
                }
                _ => return wrong(route, "/s needs a name: /s/NAME/v1".to_owned()),
            },
            "reframe" => {
                let (mode, rest) = split_segment(rest).unwrap_or_default();
                let Some(reframe) = parse_reframe(mode) else {
                    let sentence =
                        format!("unknown mode {mode:?}: /reframe takes bytes, events, whole or random-SEED");
                    return wrong(route, sentence);
                };
                route.reframe = Some(reframe);
                path = rest;
            }
            "delay" => {
                let (number, rest) = split_segment(rest).unwrap_or_default();
                let Ok(milliseconds) = number.parse() else {
                    return wrong(route, format!("/delay takes milliseconds, not {number:?}"));
                };
                route.delay = Duration::from_millis(milliseconds);
                path = rest;
            }
            "v1" => {
                route.place = Place::Gateway(path);
                return route;
            }
            "wire" => {
                route.place = Place::Wire(split_segment(rest).unwrap_or_default().0);
                return route;
            }
            "fault" => {
                let (name, path) = split_segment(rest).unwrap_or_default();
                route.place = Place::Fault { name, path };
                return route;
            }
            "__stats" => route.place = Place::Control(Control::Stats),
            "__reset" => route.place = Place::Control(Control::Reset),
            "__faults" => route.place = Place::Control(Control::Faults),
            "__next" => route.place = Place::Control(Control::Next),
            "__requests" => route.place = Place::Control(Control::Requests),
            _ => {}
        }
        if !matches!(first, "s" | "reframe" | "delay") {
            return route;
        }
    }
}

fn wrong(route: Route<'_>, sentence: String) -> Route<'_> {
    Route { place: Place::Wrong(sentence), ..route }
}

/// `/a/b/c` → `a` and `/b/c`.
fn split_segment(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('/')?;
    let end = path.find('/').unwrap_or(path.len());
    Some(path.split_at(end))
}

fn without_query(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// A proxy's client sends the whole URL; only its path matters here.
fn without_authority(target: &str) -> &str {
    match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    }
}

fn parse_reframe(mode: &str) -> Option<Reframe> {
    match mode {
        "bytes" => Some(Reframe::Bytes),
        "events" => Some(Reframe::Events),
        "whole" => Some(Reframe::Whole),
        _ => mode.strip_prefix("random-")?.parse().ok().map(Reframe::Random),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_taken_in_any_order_before_the_place() {
        let route = steer("/s/one/reframe/random-7/delay/20/wire/unary_text/v1/chat/completions?x=1");
        assert_eq!(route.scope, Some("one"));
        assert_eq!(route.reframe, Some(Reframe::Random(7)));
        assert_eq!(route.delay, Duration::from_millis(20));
        assert_eq!(route.place, Place::Wire("unary_text"));
        let route = steer("/delay/20/s/one/v1/models/a/b");
        assert_eq!((route.scope, route.place), (Some("one"), Place::Gateway("/v1/models/a/b")));
    }

    #[test]
    fn places_are_told_apart() {
        assert_eq!(steer("/fault/drip-5/v1/chat").place, Place::Fault { name: "drip-5", path: "/v1/chat" });
        assert_eq!(steer("/s/a/__stats").place, Place::Control(Control::Stats));
        assert_eq!(steer("/chat/completions").place, Place::Dashboard);
        assert_eq!(steer("/v1beta/models").place, Place::Dashboard);
        assert_eq!(steer("http://example.com/v1/models").place, Place::Gateway("/v1/models"));
        assert_eq!(steer("*").place, Place::Dashboard);
    }

    #[test]
    fn senseless_prefixes_are_named() {
        assert!(matches!(steer("/delay/soon/v1").place, Place::Wrong(_)));
        assert!(matches!(steer("/reframe/twice/v1").place, Place::Wrong(_)));
        assert!(matches!(steer("/s").place, Place::Wrong(_)));
    }
}
