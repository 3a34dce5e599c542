"""What the bench puts into the Worker beside the product."""

from __future__ import annotations
