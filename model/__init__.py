"""Pixels and words in, words out: a Qwen2.5-VL of our own. Knows no machine and nothing of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.chat_model import ChatModel, load_chat
    from model.checkpoints.weights import load_model

__all__ = ["ChatModel", "load_chat", "load_model"]
_HOMES = {"load_model": "model.checkpoints.weights", "load_chat": "model.chat_model", "ChatModel": "model.chat_model"}


def __getattr__(name: str) -> Any:  # torch is loaded when a model is asked for, not before
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'model' has no attribute '{name}'")
