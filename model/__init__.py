"""A local vision-language model: load a checkpoint, and chat with it about images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.chat_model import ChatModel, load_chat
    from model.checkpoints.weights import load_model

__all__ = ["ChatModel", "load_chat", "load_model"]
_MODULES = {"load_model": "model.checkpoints.weights", "load_chat": "model.chat_model", "ChatModel": "model.chat_model"}


def __getattr__(name: str) -> object:  # lazy: `import model` must not load torch
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'model' has no attribute '{name}'")
