"""Desktop input, screen capture and virtual displays for the desktop surface."""
