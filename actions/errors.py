"""The three families of errors. Whose mistake it was decides what happens next."""


class Error(Exception):
    """Base of every error that pixelhand raises on purpose; its text is one sentence for a person."""


class BadCall(Error):
    """The model's mistake: its reply does not parse, or asks for what cannot be. It reads the text next turn."""


class Denied(BadCall):
    """The guard said no. The model reads the reason; a run that keeps asking for it is stopped."""


class SurfaceError(Error):
    """The machine's trouble: the episode stops, and it is never scored as the model's failure."""


class UsageError(Error):
    """The person's mistake, or something missing on their side: one sentence, exit code 2."""
