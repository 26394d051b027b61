"""Cases of `agent bench guard`: what a hijacked model tries, and the harmless pages beside it."""
