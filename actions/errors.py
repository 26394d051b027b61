"""The three families of errors. Whose mistake it was decides what happens next."""


class Error(Exception):
    """Base of every error that pixelhand raises on purpose; its text is one sentence for a person."""


class InvalidActionError(Error):
    """The model's mistake: its reply does not parse, or asks for what cannot be. It reads the text next turn."""


class ActionDeniedError(InvalidActionError):
    """The guard said no. The model reads the reason; a run that keeps asking for it is stopped."""


class ActionRejectedError(ActionDeniedError):
    """A person said no, or used the machine meanwhile. The model reads why; it is no mistake that counts against it."""


class RunStoppedError(ActionDeniedError):
    """The guard ended the run: a person said stop (by_person), or nobody is there to be asked. Nothing was done."""

    def __init__(self, sentence: str, *, by_person: bool = False) -> None:
        super().__init__(sentence)
        self.by_person = by_person


class SurfaceError(Error):
    """The machine's trouble: the episode stops, and it is never scored as the model's failure."""


class SurfaceTimeout(SurfaceError):
    """The surface did not answer in time; what it was asked for may still have happened."""


class UsageError(Error):
    """The person's mistake, or something missing on their side: one sentence, exit code 2."""
