"""The local runtime: the deployed Python in the real workerd, with Postgres and embeddings beside it."""
