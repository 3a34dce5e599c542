"""Customers' webhooks: what they are sent, how, and what becomes of a delivery (domain.md §5)."""

from __future__ import annotations
