"""Alerts: what is wrong is told once, and told again when it is over."""

from __future__ import annotations
