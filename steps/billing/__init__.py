"""What customers are billed for: pages held per billing period, reported to Stripe's meter (domain.md §2.12)."""

from __future__ import annotations
