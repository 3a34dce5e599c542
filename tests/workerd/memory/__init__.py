"""A Worker for the tests of memory."""

from __future__ import annotations
