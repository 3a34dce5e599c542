"""The dashboard: a page on this machine that shows a server's jobs; the key to it never reaches the browser."""

from __future__ import annotations
