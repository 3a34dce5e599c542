"""The workflows of the platform, and the services they use. A module with a workflow is found by itself."""
