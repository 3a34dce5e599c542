"""The same trivial steps on DBOS: `python -m bench.dbos_peer URL STEPS` prints one line of JSON.

A process of its own, since DBOS starts threads and keeps global state.
"""

from __future__ import annotations

import json
import sys
import time
from urllib.parse import urlsplit

from dbos import DBOS

#: DBOS makes it on its first start.
SYSTEM_DATABASE = "dbos_bench"
WARM_UP_STEPS = 100


@DBOS.step()
def add(total: int, number: int) -> int:
    """Return the sum."""
    return total + number


@DBOS.workflow()
def run(steps: int) -> float:
    """Run steps one after the other; return how long they took in ms."""
    began = time.perf_counter()
    total = 0
    for number in range(steps):
        total = add(total, number)
    elapsed_ms = (time.perf_counter() - began) * 1000
    if total != steps * (steps - 1) // 2:
        raise RuntimeError(f"{steps} steps gave {total}")
    return elapsed_ms


def main(database_url: str, steps: int) -> None:
    """Warm up, measure, print."""
    system_url = urlsplit(database_url)._replace(scheme="postgresql", path=f"/{SYSTEM_DATABASE}").geturl()
    DBOS(config={"name": "bench", "system_database_url": system_url, "log_level": "WARNING"})
    DBOS.launch()
    try:
        run(WARM_UP_STEPS)
        elapsed_ms = run(steps)
    finally:
        DBOS.destroy()
    print(json.dumps({"elapsed_ms": elapsed_ms}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
