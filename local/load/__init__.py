"""A load test of the local stack: many jobs at once, and none lost or doubled."""

from __future__ import annotations
