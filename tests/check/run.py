"""`make check`: what needs Debian packages or more time than `make test` has.

Each check names the tools it needs. One that is missing prints `NOT RUN: name` and fails the run,
so that a green run always means that everything was looked at. Names as arguments run only those.
Two run at a time: none measures time.
"""

import os
import shutil
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

# Each file adds its checks to the list.
import doors  # noqa: F401
import growth  # noqa: F401
import headers  # noqa: F401
import install  # noqa: F401
import interface  # noqa: F401
import network  # noqa: F401
import python_package  # noqa: F401
import rust  # noqa: F401
import sanitize  # noqa: F401
from base import CHECKS, Check

# Compiling, linking with optimisation, and waiting use one core each.
LANES = min(2, os.cpu_count() or 1)


def told(one: Check) -> bool:
    """Runs a check and tells how it went."""
    missing = [tool for tool in one.tools if shutil.which(tool) is None]
    if missing:
        print(f"NOT RUN: {one.name} (needs {', '.join(missing)}; see .ci/run for the packages)", flush=True)
        return False
    started = time.monotonic()
    try:
        one.run()
    except Exception as error:
        print(f"FAILED {one.name}: {error}", flush=True)
        if not isinstance(error, AssertionError):
            traceback.print_exc()
        return False
    print(f"ok {one.name} ({time.monotonic() - started:.0f} s)", flush=True)
    return True


def main() -> int:
    wanted = sys.argv[1:]
    unknown = set(wanted) - {one.name for one in CHECKS}
    if unknown:
        sys.exit(
            f"no check is called {' or '.join(sorted(unknown))}; see {', '.join(c.name for c in CHECKS)}"
        )
    chosen = [one for one in CHECKS if not wanted or one.name in wanted]
    # The long ones first, so that none is left alone at the end.
    chosen.sort(key=lambda one: not one.slow)
    with ThreadPoolExecutor(LANES) as lanes:
        outcomes = list(lanes.map(told, chosen))
    print(f"{outcomes.count(True)} passed, {outcomes.count(False)} failed")
    return 0 if outcomes and all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
