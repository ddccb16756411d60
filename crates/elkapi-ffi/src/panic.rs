//! The panic wall: a defect in this library becomes an error, not the end of the host program.
//!
//! Every exported function that can panic runs behind [`wall`], through `boundary!`. Inside it the
//! panic hook is silent, because the process belongs to somebody else; panics elsewhere go to the
//! hook that was there before.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use elkapi_core::{Error, Kind};

thread_local! {
    /// How many walls stand around the code that this thread runs.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the panic under way began.
    static DEFECT: RefCell<String> = const { RefCell::new(String::new()) };
}

static HOOK: Once = Once::new();

/// Makes panics within the boundary silent; once per process, chained before the hook there is.
pub(crate) fn silence_within_boundary() {
    // The hook cannot be changed by a thread that panics.
    if std::thread::panicking() {
        return;
    }
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if DEPTH.try_with(Cell::get).unwrap_or(0) > 0 {
                remember(info);
            } else if !is_ours() {
                previous(info);
            }
        }));
    });
}

/// Whether the present thread is one that the core started, which tells its defects by itself.
fn is_ours() -> bool {
    std::thread::current().name().is_some_and(|name| name.starts_with("elkapi-"))
}

/// Keeps the place and a literal message. A message made at run time could hold a caller's data.
fn remember(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let text = match info.payload().downcast_ref::<&'static str>() {
        Some(message) => format!("{message}, at {place}"),
        None => format!("at {place}"),
    };
    let _ = DEFECT.try_with(|defect| defect.replace(text));
}

/// Runs `body`; after a panic in it, what `otherwise` makes of the error that tells about it.
pub(crate) fn wall<R>(otherwise: impl FnOnce(Error) -> R, body: impl FnOnce() -> R) -> R {
    let _inside = Inside::enter();
    match panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(_) => {
            let defect = DEFECT.try_with(RefCell::take).unwrap_or_default();
            otherwise(Error::new(Kind::Internal, format!("elkapi met a defect of its own ({defect})")))
        }
    }
}

/// Runs the program's own code from within the boundary, where the panic hook is not ours.
pub(crate) fn outside<R>(body: impl FnOnce() -> R) -> R {
    struct Back(u32);
    impl Drop for Back {
        fn drop(&mut self) {
            let _ = DEPTH.try_with(|depth| depth.set(self.0));
        }
    }
    let _back = Back(DEPTH.try_with(|depth| depth.replace(0)).unwrap_or(0));
    body()
}

struct Inside;

impl Inside {
    fn enter() -> Inside {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() + 1));
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() - 1));
    }
}

/// The body of an exported function.
///
/// `boundary!(handle, neutral => body)` borrows the handle behind the pointer of that name and
/// gives `neutral` for NULL and after a panic. `boundary!(defect => otherwise; body)` is for
/// functions that can tell an error.
macro_rules! boundary {
    ($handle:ident, $neutral:expr => $body:expr) => {
        $crate::panic::wall(
            |_| $neutral,
            || match borrowed!($handle) {
                Some($handle) => $body,
                None => $neutral,
            },
        )
    };
    ($defect:ident => $otherwise:expr; $body:expr) => {
        $crate::panic::wall(|$defect| $otherwise, || $body)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_within_the_boundary_becomes_an_internal_error_and_a_literal_message_is_kept() {
        silence_within_boundary();
        let error = wall(Some, || panic!("a literal")).unwrap();
        assert_eq!(error.kind(), Kind::Internal);
        assert!(error.message().contains("a literal, at "), "{error}");
        assert!(error.message().contains("panic.rs:"), "{error}");

        let secret = "sk-SECRET";
        let error = wall(Some, || panic!("{secret}")).unwrap();
        assert!(!error.document().contains(secret), "{error}");
        wall(drop, || outside(|| assert_eq!(DEPTH.get(), 0)));
        assert_eq!(DEPTH.get(), 0);
    }
}
