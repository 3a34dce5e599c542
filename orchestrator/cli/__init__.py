"""The command line ``orchestrator``, on the Python client. Needs the extra ``cli``; never part of the Worker."""
