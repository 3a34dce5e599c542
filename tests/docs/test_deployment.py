"""The deployment page's figures are those of its formula."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import cast

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"
_BLOCK = re.compile(r"^<!-- name: monthly-cost -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| ([0-9,]+) \| ([0-9.,]+) \|$", re.MULTILINE)


def test_the_table_is_what_the_formula_gives() -> None:
    text = PAGE.read_text()
    (source,) = _BLOCK.findall(text)
    namespace: dict[str, object] = {}
    exec(compile(source, str(PAGE), "exec"), namespace)
    monthly_usd = cast("Callable[..., float]", namespace["monthly_usd"])
    rows = _ROW.findall(text)
    assert len(rows) == 3
    for jobs, dollars in rows:
        cost = monthly_usd(int(jobs.replace(",", "")), steps=50, active_s=60)
        assert f"{cost:,.2f}" == dollars, jobs
