"""Chooses what `fuzz/corpus-kept` holds from the corpus that `make fuzz` has grown: `keep.py TARGET…`.

`crates/elkapi/tests/corpus.rs` runs these files without a fuzzer. Chosen are small files, one after the
other those that reach most of what is not yet reached for their size; an input that once failed is added
by hand.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 3000
FILES = 120


def coverage(target: str, work: Path) -> dict[Path, set[str]]:
    """The edges that each small file reaches which libFuzzer thinks worth keeping."""
    small, merged, control = work / "small", work / "merged", work / "control"
    shutil.rmtree(work, ignore_errors=True)
    for folder in (small, merged):
        folder.mkdir(parents=True)
    for path in (ROOT / "fuzz" / "corpus" / target).iterdir():
        if path.stat().st_size <= LARGEST:
            shutil.copy(path, small)
    tools = f"{ROOT / 'build' / 'tools' / 'bin'}:{os.environ['PATH']}"
    options = ["-set_cover_merge=1", "-use_counters=0", "-timeout=20", f"-merge_control_file={control}"]
    subprocess.run(
        ["cargo", "+nightly", "fuzz", "run", target, merged, small, "--", *options],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PATH": tools},
        stderr=subprocess.DEVNULL,
    )
    # The number of files, that of the first ones, their names, then lines `COV NUMBER EDGE…` and others.
    count, _, *lines = control.read_text().splitlines()
    files, reached = [Path(line) for line in lines[: int(count)]], {}
    for line in lines[int(count) :]:
        kind, number, *edges = line.split()
        if kind == "COV":
            reached[files[int(number)]] = set(edges)
    return reached


def main() -> None:
    for target in sys.argv[1:]:
        reached = coverage(target, ROOT / "build" / "fuzz-keep" / target)
        size = {path: path.stat().st_size for path in reached}
        seen: set[str] = set()
        kept = ROOT / "fuzz" / "corpus-kept" / target
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        for _ in range(FILES):
            # A file costs a little by itself.
            best = max(reached, key=lambda path: len(reached[path] - seen) / (size[path] + 200))
            if not reached[best] - seen:
                break
            seen |= reached[best]
            shutil.copy(best, kept)
        edges = len(set().union(*reached.values()))
        print(f"{target}: {len(list(kept.iterdir()))} files reach {len(seen)} of {edges} edges")


if __name__ == "__main__":
    main()
