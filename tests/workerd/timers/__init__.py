"""A Worker for the tests of timers."""

from __future__ import annotations
