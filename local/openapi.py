"""``python -m local.openapi``: prints the API's OpenAPI document, with the workflows of ``steps/``."""

from __future__ import annotations

import sys

import msgspec

from durable.http.app import create_app
from durable.http.openapi import document
from durable.workflows import registry

if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(document(create_app().app, registry())))
