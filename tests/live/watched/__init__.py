"""A Worker for the tests of the live view."""

from __future__ import annotations
