"""`make check`: what needs Debian packages or more time than `make test` has.

Each check names the tools it needs. One that is missing prints `NOT RUN: name` and fails the run,
so that a green run always means that everything was looked at. Names as arguments run only those.
"""

import shutil
import sys
import time
import traceback

# Each file adds its checks to the list.
import headers  # noqa: F401
import install  # noqa: F401
import interface  # noqa: F401
import network  # noqa: F401
import rust  # noqa: F401
import sanitize  # noqa: F401
from base import CHECKS


def main() -> int:
    wanted = sys.argv[1:]
    passed = failed = 0
    for one in CHECKS:
        if wanted and one.name not in wanted:
            continue
        missing = [tool for tool in one.tools if shutil.which(tool) is None]
        if missing:
            print(
                f"NOT RUN: {one.name} (needs {', '.join(missing)}; see .ci/run for the packages)", flush=True
            )
            failed += 1
            continue
        started = time.monotonic()
        try:
            one.run()
            passed += 1
            print(f"ok {one.name} ({time.monotonic() - started:.0f} s)", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAILED {one.name}: {error}", flush=True)
            if not isinstance(error, AssertionError):
                traceback.print_exc()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
