"""Everything that touches Cloudflare: one adapter per port, the objects, and the HTTP API."""
