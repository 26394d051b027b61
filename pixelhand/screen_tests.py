"""ScreenUnderTest: open, act, expect and extract, for tests in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import urljoin, urlsplit

from actions import Error, Screen, UsageError
from actions.surface import SupportsPages

if TYPE_CHECKING:
    from pydantic import BaseModel

    from agent.loop import Episode
    from agent.policies.base import Policy
    from agent.verification.judgment import Judgment
    from envs.live import LiveEnv

    Model = TypeVar("Model", bound=BaseModel)

EXPECT_S, WAIT_S, PAUSE_S = 5.0, 30.0, 0.2


class FailedExpectationError(AssertionError):
    """An expectation does not hold, or an instruction was not carried out."""


class UnsureError(AssertionError):
    """It is not certain enough whether an expectation holds, or whether a value was read correctly."""


@dataclass(frozen=True)
class ScreenTestOptions:
    """How the screen of a test is opened and run."""

    surface: str = "browser"
    url: str = ""  # the base of the addresses of `open`
    safety: str = ""  # policy of the guard; "" for `cautious`
    folder: Path = Path("runs")  # of the traces


class ScreenUnderTest:
    """A screen that a test acts on in words.

    Args:
        options: How it is opened.
        load_policy: Returns the model; called when a step needs one.

    Attributes:
        runs: The folders of the traces of `act`.
        judgments: The result of each `expect` and `wait_for`, with its expectation.
    """

    def __init__(self, options: ScreenTestOptions, load_policy: Callable[[], Policy]) -> None:
        self.options, self._load_policy = options, load_policy
        self.runs: list[Path] = []
        self.judgments: list[tuple[str, Judgment]] = []
        self._env: LiveEnv | None = None

    @property
    def env(self) -> LiveEnv:
        """The environment; it is opened at the base address if `open` was not called."""
        if self._env is None:
            self._open_env(self.options.url)
        assert self._env is not None
        return self._env

    def open(self, url: str = "") -> None:
        """Show an address, which may be relative to the base address.

        The screen is opened anew for another host, so that its pages may be local ones.

        Args:
            url: The address; "" for the base address.

        Raises:
            UsageError: The address or an option cannot be used.
            SurfaceError: The page could not be opened.
        """
        address = urljoin(self.options.url, url) if self.options.url else url
        env, is_same_host = self._env, False
        if env is not None and isinstance(env.surface, SupportsPages):
            is_same_host = urlsplit(env.surface.url).netloc == urlsplit(address).netloc != ""
            if is_same_host:
                env.surface.goto(address)
        if not is_same_host:
            self.close()
            self._open_env(address)

    def act(self, goal: str, *, max_steps: int = 10) -> Episode:
        """Carry out an instruction.

        Args:
            goal: The instruction, such as "press Save".
            max_steps: Steps at most.

        Returns:
            The finished run, whose status is "success".

        Raises:
            FailedExpectationError: The run ended otherwise.
        """
        from pixelhand.api import run

        episode = run(
            goal,
            self.env,
            self._load_policy(),
            max_steps=max_steps,
            trace=self.options.folder,
            safety=self.options.safety,
        )
        self.runs.append(Path(episode.run))
        if episode.status != "success":
            steps = f"{len(episode.steps)} step" + ("" if len(episode.steps) == 1 else "s")
            raise FailedExpectationError(f"act({goal!r}): {episode.status} after {steps}: {episode.message}")
        return episode

    def expect(self, expectation: str, *, timeout_s: float = EXPECT_S) -> Judgment:
        """Check that an expectation holds, at once or within a time.

        Args:
            expectation: One of the forms of `--expect`, such as 'text "Saved"', or a statement in words.
            timeout_s: How long it may take until it holds. A statement is asked again only once the screen changed.

        Returns:
            The judgment, whose outcome is "pass".

        Raises:
            FailedExpectationError: It does not hold.
            UnsureError: It may hold.
            UsageError: The expectation has a mistake, or needs a model and there is none.
        """
        from agent.verification.judgment import judge_expectation, judge_statement, parse_statement

        parsed = parse_statement(expectation)
        deadline = time.monotonic() + timeout_s
        judgment: Judgment | None = None
        digest = ""
        while judgment is None or (judgment.outcome != "pass" and time.monotonic() < deadline):
            if judgment is not None:
                time.sleep(PAUSE_S)
            if not isinstance(parsed, str):
                judgment = judge_expectation(parsed, self.env.surface)
                continue
            screen = self._settled_screen()
            if judgment is None or screen.digest != digest:
                judgment, digest = judge_statement(parsed, screen, self._load_policy()), screen.digest
        self.judgments.append((expectation, judgment))
        if judgment.outcome == "fail":
            raise FailedExpectationError(f"expect({expectation!r}): {judgment.detail}")
        if judgment.outcome == "unsure":
            raise UnsureError(f"expect({expectation!r}): {judgment.detail}")
        return judgment

    def wait_for(self, expectation: str, *, timeout_s: float = WAIT_S) -> Judgment:
        """Wait until an expectation holds; see `expect`."""
        return self.expect(expectation, timeout_s=timeout_s)

    def extract(self, model: type[Model]) -> Model:
        """Return what the screen shows as an instance of a pydantic model.

        Raises:
            FailedExpectationError: The model's answers do not fit.
            UnsureError: A second look did not confirm a value.
        """
        from agent.extraction.output_schema import InvalidOutputError, output_schema_of
        from agent.session import make_extractor

        extractor = make_extractor(output_schema_of(model), self._load_policy())
        try:
            output = extractor.extract(
                f"read the {model.__name__} that the screen shows",
                "the screen shows it",
                (self._settled_screen(),),
                lambda event, **facts: None,
            )
        except InvalidOutputError as error:
            raise FailedExpectationError(f"extract({model.__name__}): {error}") from None
        if not output.is_confirmed:
            reasons = "; ".join(f"{field.path}: {field.reason}" for field in output.fields if field.reason)
            raise UnsureError(f"extract({model.__name__}): {reasons}")
        return cast("Model", output.instance)

    def write_reports(self) -> list[Path]:
        """Write the report of each run of `act` beside its trace; return the files."""
        from agent.report.run_page import write_run_report

        paths = []
        for folder in self.runs:
            with suppress(Error):  # a run that cannot be reported has its trace
                paths.append(write_run_report([folder], folder / "report.html"))
        return paths

    def close(self) -> None:
        """Close the screen. Safe to call twice."""
        env, self._env = self._env, None
        if env is not None:
            env.close()

    def _open_env(self, url: str) -> None:
        from pixelhand.api import open_env

        if self.options.surface == "browser" and not url:
            raise UsageError("the test has no address: call screen.open(URL), or give --pixelhand-url URL")
        self._env = open_env(self.options.surface, url=url)

    def _settled_screen(self) -> Screen:
        """Return the screen once it is still."""
        from envs.stability import settle

        return settle(self.env.surface.capture, self.env.options).screen
