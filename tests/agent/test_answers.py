"""Answers to questions: the order of question and image, their length, and whether the token limit cut them off."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from helpers.answering_model import answering_policy
from helpers.server_fakes import FakeServer, serve_fake

from actions import Screen
from agent.policies.base import question_conversation
from agent.policies.remote.factory import load_remote_policy
from agent.policies.remote.policy import RemotePolicy

PAGE = Screen(np.full((280, 364, 3), 200, np.uint8))


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serve_fake(FakeServer()) as fake:
        yield fake


def remote_policy(server: FakeServer) -> RemotePolicy:
    return load_remote_policy(f"{server.base}?dialect=qwen25&check=off#tiny")


def part_types(is_question_first: bool) -> list[str]:
    conversation = question_conversation("QwenVL HTML ", [PAGE], is_question_first=is_question_first)
    return [part["type"] for part in conversation.messages[0]["content"]]


def test_question_is_after_image_by_default() -> None:
    assert part_types(False) == ["image", "text"]
    assert part_types(True) == ["text", "image"]


def test_server_receives_question_first_and_limit(server: FakeServer) -> None:
    remote_policy(server).answer("what?", [PAGE], None, max_new_tokens=77, is_question_first=True)
    request = server.requests[-1]
    assert request["max_tokens"] == 77
    assert [part["type"] for part in request["messages"][0]["content"]] == ["text", "image_url"]


@pytest.mark.parametrize(("finish_reason", "is_truncated"), [("stop", False), ("length", True)])
def test_finish_reason_says_whether_reply_is_truncated(
    server: FakeServer, finish_reason: str, is_truncated: bool
) -> None:
    policy = remote_policy(server)
    server.finish_reason = finish_reason
    assert policy.answer("what?", [PAGE], None).is_truncated == is_truncated
    conversation = question_conversation("what?", [PAGE])
    assert policy.reply(conversation, on_text=lambda text: None).is_truncated == is_truncated


@pytest.mark.model
def test_local_reply_at_token_limit_is_truncated() -> None:
    policy = answering_policy()
    reply = policy.answer("what?", [PAGE], None, max_new_tokens=2)
    assert reply.is_truncated
    assert reply.reply_tokens == 2
