"""The agent loop, its policies, and the `agent` command."""
