"""Measures the engine beside its peers and the floor: `python -m bench`."""

from __future__ import annotations
