"""``make mutants``: breaks the sources in every way that is kept here, and shows which test notices."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from tests.mutants.command import main

    sys.exit(main())
