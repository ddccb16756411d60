"""`make bench-cancel`: how long it takes until a cancelled call has returned, in every phase."""

import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
RELEASE = ROOT / "target" / "release"
BUILD = ROOT / "build" / "bench"
COUNT = int(os.environ.get("COUNT", "200"))

sys.path.insert(0, str(ROOT / "tests" / "c"))
from stalls import slow_dns, stalls  # noqa: E402


def main() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / "cancel"
    library = [f"-I{ROOT / 'include'}", f"-L{RELEASE}", "-lelkapi", "-lpthread", f"-Wl,-rpath,{RELEASE}"]
    subprocess.run(["cc", "-O2", "-std=gnu11", BENCH / "c" / "cancel.c", "-o", program, *library], check=True)
    preloaded = {**os.environ, "LD_PRELOAD": str(slow_dns(BUILD))}
    simulator = subprocess.Popen(
        [RELEASE / "elkapi-sim", "--until-stdin-closes", "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert simulator.stdout is not None
        base_url = simulator.stdout.readline().strip()
        print(f"From the signal to the return of the call, {COUNT} times in each phase")
        print(f"{'':10}{'median µs':>12}{'99 % µs':>12}")
        with stalls(base_url.removesuffix("/v1")) as base_urls:
            for phase in ("dns", "connect", "tls", "send", "wait", "read"):
                size = 12 << 20 if phase == "send" else 1
                command = [str(program), base_urls[phase], str(size), str(COUNT)]
                env = preloaded if phase == "dns" else None
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
                seen, median, high = done.stdout.split()
                if seen != phase:
                    sys.exit(f"stopped in phase {seen}, not {phase}")
                print(f"{phase:10}{float(median):12.1f}{float(high):12.1f}", flush=True)
    finally:
        simulator.communicate(timeout=10)


if __name__ == "__main__":
    main()
