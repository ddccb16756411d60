//! Times and ids as the gateway writes them.
//!
//! Pure arithmetic on the system clock; used by the gateway's replies, the rate-limit faults
//! and the stamped streams. Nothing here waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in UTC, taken apart.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    weekday: usize,
}

impl Civil {
    /// Takes seconds since 1970 apart (proleptic Gregorian calendar, counted from 1 March).
    fn from_unix(seconds: u64) -> Civil {
        let days = seconds / 86_400;
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Civil {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            hour: seconds / 3_600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            // 1 January 1970 was a Thursday.
            weekday: ((days + 4) % 7) as usize,
        }
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Seconds since 1970, for `created`.
pub(crate) fn unix_seconds() -> u64 {
    since_epoch().as_secs()
}

/// The time `ahead` from now as an HTTP date, for `Date` and `Retry-After`.
pub(crate) fn http_date(ahead: Duration) -> String {
    const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let at = Civil::from_unix((since_epoch() + ahead).as_secs());
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        WEEKDAYS[at.weekday],
        at.day,
        MONTHS[(at.month - 1) as usize],
        at.year,
        at.hour,
        at.minute,
        at.second
    )
}

/// A request id in the gateway's form: 14 digits of time, 9 of nanoseconds, 9 letters or digits.
pub(crate) fn request_id() -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = since_epoch();
    let at = Civil::from_unix(now.as_secs());
    let mut bits = mix(now.as_nanos() as u64 ^ COUNT.fetch_add(1, Ordering::Relaxed).rotate_left(40));
    let mut id = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}{:09}",
        at.year,
        at.month,
        at.day,
        at.hour,
        at.minute,
        at.second,
        now.subsec_nanos()
    );
    for _ in 0..9 {
        id.push(char::from(LETTERS[(bits % 62) as usize]));
        bits /= 62;
    }
    id
}

/// Spreads the bits of `seed` (splitmix64): equal in, equal out.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number that depends on every byte of `text` and on nothing else (FNV-1a, then [`mix`]).
pub(crate) fn fingerprint(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    mix(hash)
}

/// `CLOCK_MONOTONIC` in nanoseconds: the clock that a test in another process can compare with.
pub(crate) fn monotonic_nanoseconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec that outlives the call, and the clock id exists everywhere.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_around_leap_years_are_taken_apart_rightly() {
        let at = Civil::from_unix(951_782_400);
        assert_eq!((at.year, at.month, at.day, at.weekday), (2000, 2, 29, 2));
        let at = Civil::from_unix(1_795_344_483);
        assert_eq!((at.year, at.month, at.day, at.hour, at.minute, at.second), (2026, 11, 22, 10, 48, 3));
        assert_eq!(at.weekday, 0);
    }

    #[test]
    fn request_ids_are_32_characters_and_differ() {
        let (one, two) = (request_id(), request_id());
        assert_eq!(one.len(), 32);
        assert_ne!(one, two);
    }
}
