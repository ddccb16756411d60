"""`make bench-stream`: bursts of events, the age of paced events, and the memory of one of 100 MB.

Needs libcurl's development files (Debian: libcurl4-openssl-dev). Rounds are interleaved.
"""

import statistics
import subprocess
import sys

from run import BENCH, BUILD, PROGRAMS, RELEASE, ROOT, ROUNDS, pinned


def main() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / "stream"
    libraries = [*PROGRAMS["curl"], *PROGRAMS["elk"]]
    source = BENCH / "c" / "stream.c"
    subprocess.run(
        ["cc", "-O2", "-std=gnu11", f"-I{ROOT / 'include'}", source, "-o", program, *libraries], check=True
    )
    simulator = subprocess.Popen(
        pinned(0, RELEASE / "elkapi-sim", "--until-stdin-closes", "--quiet"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        host, port = simulator.stdout.readline().split("//")[1].split("/")[0].rsplit(":", 1)

        def figures(reader: str, mode: str) -> tuple[float, float]:
            command = pinned(1, program, reader, mode, host, port, 3000)
            line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            first, second = map(float, line.split())
            return first, second

        for mode, title, columns in (
            ("burst", "A stream of 1,000 events as fast as they come", ("wall µs", "CPU µs")),
            ("paced", "Age of an event when it is handed out, one every 200 µs", ("median µs", "p99 µs")),
        ):
            rounds = {reader: [] for reader in ("raw", "curl", "elk")}
            for _ in range(ROUNDS):
                for reader, rows in rounds.items():
                    rows.append(figures(reader, mode))
            print(f"\n{title}, medians of {ROUNDS} interleaved rounds")
            print(f"{'':8}{columns[0]:>12}{columns[1]:>12}{'first / curl':>14}{'second / curl':>15}")
            for reader, rows in rounds.items():
                cells = [statistics.median(row[place] for row in rows) for place in (0, 1)]
                ratios = [
                    statistics.median(a[place] / b[place] for a, b in zip(rows, rounds["curl"], strict=True))
                    for place in (0, 1)
                ]
                print(f"{reader:8}{cells[0]:12.1f}{cells[1]:12.1f}{ratios[0]:14.2f}{ratios[1]:15.2f}")
        peak, size = figures("elk", "huge")
        print(f"\nOne event of {size:.0f} MiB: peak memory {peak:.0f} MiB, {peak / size:.2f} times its size")
    finally:
        simulator.communicate(timeout=10)


if __name__ == "__main__":
    sys.exit(main())
