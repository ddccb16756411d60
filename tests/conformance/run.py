"""`make conformance`: every wire fixture in Rust, C and Python, as a table. Ends with 1 at any failure."""

import sys

from runners import WIRE, all_outcomes, names


def main() -> int:
    found = all_outcomes(WIRE)
    fixtures = names(WIRE)
    widest = max(map(len, fixtures))
    print(f"{'fixture':{widest}}", *(f"{language:6}" for language in found))
    for name in fixtures:
        marks = ("FAILED" if outcome[name] else "ok" for outcome in found.values())
        print(f"{name:{widest}}", *(f"{mark:6}" for mark in marks))
    for language, outcome in found.items():
        for name, wrong in outcome.items():
            for mismatch in wrong:
                print(f"{language}, {name}: {mismatch}", file=sys.stderr)
    print()
    own = sum(name.startswith("own_") for name in fixtures)
    for language, outcome in found.items():
        passed = sum(not wrong for wrong in outcome.values())
        print(f"{language:6} {passed} of {len(fixtures)}")
    good = [name for name in fixtures if not any(outcome[name] for outcome in found.values())]
    kinds = f"{len(fixtures) - own} of the gateway's behaviour, {own} of our own"
    print(f"{len(good)} of {len(fixtures)} ({kinds}) in {', '.join(found)}")
    return 0 if len(good) == len(fixtures) else 1


if __name__ == "__main__":
    sys.exit(main())
