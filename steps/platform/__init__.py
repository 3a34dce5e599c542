"""What the platform's workflows share: errors, the schema and the effects on its database."""

from __future__ import annotations
