"""What the browser surface is made of: finding and starting Chromium, its tabs and dialogs, and the hands on a page."""
