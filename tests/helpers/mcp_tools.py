"""The names of the tools that `agent mcp` offers."""

from __future__ import annotations

SEE_TOOLS = frozenset({"see_ground", "see_count", "see_elements", "see_read"})
MCP_TOOLS = frozenset({"screenshot", "act", "run_task", "status", "stop"}) | SEE_TOOLS
