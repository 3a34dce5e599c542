"""The Worker of the load test."""

from __future__ import annotations
