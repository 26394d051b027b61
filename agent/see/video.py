"""Ask a model for the events of a video file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actions import Reply, Screen, UsageError
from agent.policies.base import Policy, SupportsAnswers, SupportsVideos
from agent.see.video_events import EVENTS_SCHEMA, InvalidEventsError, VideoEvent, format_time, parse_events
from model.json_file import JsonObject
from model.processing.video import SampledVideo
from model.processing.video_file import FILE_LIMITS, read_video

MAX_ATTEMPTS = 2
MAX_IMAGES = 16  # frames for a model that takes images only
FORM = (
    "Reply with a JSON list in which each item is an object with start_time and end_time, both as mm:ss.ff, and "
    "description."
)
FIND_PROMPT = "When does the video show this: {question}\nList each time that it does. {form}"
DESCRIBE_PROMPT = "Divide the video into its events, from its start to its end, and describe each. {form}"
TIMES_PROMPT = "The images are frames of a video of {duration}, at these times: {times}.\n"
RETRY_PROMPT = "\nAn earlier reply was refused, because {problem}"


@dataclass(frozen=True)
class VideoAnswer:
    """The events of a video.

    Args:
        events: By their start.
        video: The frames that the model was shown.
        form: "video" if they were shown as a video, "images" if as images with their times as text.
    """

    events: tuple[VideoEvent, ...]
    video: SampledVideo
    form: str

    def as_json(self) -> JsonObject:
        """Return the answer as it is printed."""
        return {
            "duration": format_time(self.video.duration),
            "frames": len(self.video.frames),
            "input": self.form,
            "events": [event.as_json() for event in self.events],
        }


def find_events(path: Path, question: str, policy: Policy, max_frames: int = 0) -> VideoAnswer:
    """Return the events of a video that a question asks for.

    Args:
        path: The video file.
        question: What to find; "" for all events, as captions of the whole video.
        policy: Answers questions. A model in process that takes videos is shown one; any other is shown images.
        max_frames: Most frames that are shown; 0 for 768 in a video, and 16 images.

    Raises:
        UsageError: The model cannot answer questions, or the file cannot be read.
        InvalidEventsError: The model gave no valid list of events, in two attempts.
    """
    if not isinstance(policy, SupportsAnswers):
        raise UsageError("the model cannot answer questions about videos; choose another one with --model")
    is_video = isinstance(policy, SupportsVideos) and policy.accepts_videos()
    default = FILE_LIMITS.max_frames if is_video else MAX_IMAGES
    video = read_video(path, replace(FILE_LIMITS, max_frames=max_frames or default))
    prompt = (FIND_PROMPT if question else DESCRIBE_PROMPT).format(question=question, form=FORM)
    problem = ""
    for _ in range(MAX_ATTEMPTS):
        text = prompt + (RETRY_PROMPT.format(problem=problem) if problem else "")
        if is_video and isinstance(policy, SupportsVideos):
            reply = policy.answer_video(text, video, EVENTS_SCHEMA)
        else:
            reply = _answer_images(policy, text, video)
        try:
            events = parse_events(reply.text, video.duration, video.seconds_per_step)
        except InvalidEventsError as error:
            problem = str(error)
            continue
        return VideoAnswer(events, video, "video" if is_video else "images")
    raise InvalidEventsError(f"the model gave no events in {MAX_ATTEMPTS} attempts: {problem}")


def _answer_images(policy: SupportsAnswers, text: str, video: SampledVideo) -> Reply:
    screens: Sequence[Screen] = [
        Screen(frame, timestamp=time) for frame, time in zip(video.frames, video.times, strict=True)
    ]
    times = ", ".join(format_time(time) for time in video.times)
    prefix = TIMES_PROMPT.format(duration=format_time(video.duration), times=times)
    return policy.answer(prefix + text, screens, EVENTS_SCHEMA)
