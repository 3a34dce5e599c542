"""The HTTP API: an ASGI application that knows nothing of Cloudflare. ``durable/worker.py`` gives it its host."""
