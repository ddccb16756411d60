"""`make bench-cancel`: how long it takes until a cancelled call has returned, in every phase."""

import os
import subprocess
import sys

from ground import BUILD, ELK, ROOT, compiled, simulator

sys.path.insert(0, str(ROOT / "tests" / "c"))
from stalls import slow_dns, stalls

COUNT = int(os.environ.get("COUNT", "200"))


def main() -> None:
    program = compiled("cancel", *ELK, "-lpthread")
    preloaded = {**os.environ, "LD_PRELOAD": str(slow_dns(BUILD))}
    with simulator() as base_url:
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


if __name__ == "__main__":
    main()
