"""A Worker whose API cannot reach the queues."""
