"""The product's main module, with the workflows of these tests beside its own."""

from __future__ import annotations

from functools import cache

import durable.workflows
from orchestrator.workflow import Registry

from . import flows, waits

_registry = Registry([*durable.workflows.registry(), *flows.ALL, *waits.ALL])
# Before the modules that take it from there.
durable.workflows.registry = cache(lambda: _registry)

from durable.worker import *  # noqa: E402, F403
