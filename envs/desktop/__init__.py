"""What the desktop surface is made of: capture, hands per platform, windows, the virtual desktop and its keeper."""
