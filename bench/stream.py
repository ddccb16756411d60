"""`make bench-stream`: bursts of events, the age of paced events, and the memory of one of 100 MB.

Needs libcurl's development files (Debian: libcurl4-openssl-dev). Rounds are interleaved.
"""

import statistics
import subprocess
import sys

from ground import CURL, ELK, ROUNDS, compiled, host_and_port, pinned, simulator


def main() -> None:
    program = compiled("stream", *CURL, *ELK)
    with simulator() as base_url:
        host, port = host_and_port(base_url)

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


if __name__ == "__main__":
    sys.exit(main())
