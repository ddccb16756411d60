"""That a call does not begin to cost more: what can be counted is compared with what was recorded.

`UPDATE=1 python3 tests/check/run.py no-call-costs-more-than-recorded` records anew.
"""

import json
import os
import sys
from dataclasses import asdict

from base import ROOT, check

sys.path.append(str(ROOT / "bench"))
import replies
from counts import CASES, Counts, count
from ground import BUILD, compiled, running

RECORDED = ROOT / "bench" / "counts.json"
#: By how much a count may exceed what is recorded: instructions differ with compiler, libraries and the
#: processor's features.
MORE_INSTRUCTIONS = 1.03


@check("cc", "strace", "valgrind", slow=True)
def no_call_costs_more_than_recorded() -> None:
    """System calls, allocations and instructions of elkapi through its C interface, per call."""
    replies.write(BUILD / "replies")
    with running(compiled("server", "-lpthread"), BUILD / "replies") as server:
        counted = {f"{case.word} {case.read}": count("elkapi (C)", server.url, case) for case in CASES}
    if os.environ.get("UPDATE"):
        RECORDED.write_text(json.dumps({name: asdict(one) for name, one in counted.items()}, indent=2) + "\n")
        return
    recorded = {name: Counts(**one) for name, one in json.loads(RECORDED.read_text()).items()}
    late = {f"{case.word} {case.read}": case.late for case in CASES}
    grown = []
    for name, now in counted.items():
        before = recorded[name]
        bounds = {
            "system_calls": before.system_calls + late[name],
            "allocations": before.allocations,
            "instructions": before.instructions * MORE_INSTRUCTIONS,
        }
        for what, bound in bounds.items():
            if getattr(now, what) > bound:
                grown.append(
                    f"{name}: {getattr(now, what):.1f} {what}, recorded are {getattr(before, what):.1f}"
                )
    assert not grown, "\n".join(grown)
