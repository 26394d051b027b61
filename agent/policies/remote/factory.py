"""load_remote_policy: connect to a server, resolve how its model is prompted, and check what it does with images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from actions import ACTION_TYPES, Screen, SurfaceError, UsageError
from actions.suggest import suggest
from agent.policies.base import OnStatus, OnText, load_dialect
from agent.policies.remote import probe, structured_output
from agent.policies.remote.client import ChatClient, find_api_key
from agent.policies.remote.endpoint import Endpoint, parse_endpoint
from agent.policies.remote.policy import RemotePolicy
from agent.policies.remote.profile import resolve_profile
from model.dialects.base import Conversation

DEFAULT_TIMEOUT_S = 300.0


def load_remote_policy(
    address: str,
    *,
    options: Mapping[str, str | int] | None = None,
    prompt: str = "",
    temperature: float = 0.0,
    seed: int | None = None,
    grammar: bool = True,
    check: bool = True,
    on_text: OnText | None = None,
    on_status: OnStatus | None = None,
) -> RemotePolicy:
    """Create the policy for a server's address.

    Args:
        address: `http://HOST:PORT/v1#NAME`; see endpoint.parse_endpoint.
        options: Options that the address does not set itself.
        prompt: Path of a text file that replaces the dialect's prompt.
        temperature: Sampling temperature; 0 is greedy decoding.
        seed: Random seed of sampling.
        grammar: Constrain replies to the dialect's grammar where the server can.
        check: Run the start-up check of vision and coordinates.
        on_text: Called with the reply's text so far while it is generated.
        on_status: Called with the results of the start-up checks, one sentence each.

    Raises:
        UsageError: The server is unreachable, lacks the model, ignores images, or moves coordinates.
    """
    endpoint = parse_endpoint(address)
    endpoint = replace(endpoint, options={**(options or {}), **endpoint.options})
    timeout_s = float(endpoint.options.get("timeout_s", DEFAULT_TIMEOUT_S))
    client = ChatClient(endpoint.base, endpoint.name, find_api_key(endpoint.base), timeout_s=timeout_s)
    try:
        try:
            models = client.models()
        except SurfaceError as error:
            raise UsageError(f"{error}; check that it is running and that the address is right") from None
        client.name = _select_model(endpoint, models)
        entry: Mapping[str, object] = next((model for model in models if model.get("id") == client.name), {})
        description = entry.get("pixelhand")
        profile = resolve_profile(client.name, description, endpoint.options)
        requested = str(endpoint.options.get("structured", "auto")) if grammar else "off"
        backend = structured_output.detect_backend(entry, description) if requested == "auto" else requested
        dialect = load_dialect(profile.dialect, profile.limits, prompt, tool=profile.tool, history=profile.history)
        profile = replace(profile, structured=backend)
        policy = RemotePolicy(client, dialect, profile, temperature=temperature, seed=seed, on_text=on_text)
        if backend not in ("off", "pixelhand"):
            _try_structured_output(policy, required=requested != "auto", on_status=on_status)
        if check and endpoint.options.get("check", "on") == "on":
            policy.check_result = probe.check_server(policy, is_pixelhand="pixelhand" in entry)
            if on_status is not None:
                on_status(policy.check_result)
        return policy
    except BaseException:
        client.close()
        raise


def _try_structured_output(policy: RemotePolicy, *, required: bool, on_status: OnStatus | None) -> None:
    """Send one constrained request; switch structured output off when the server rejects it."""
    screen = Screen(np.zeros((56, 56, 3), np.uint8))
    verbs = frozenset(ACTION_TYPES)
    constraint = structured_output.request_fields(policy.profile.structured, policy.dialect, verbs, screen)
    if not constraint:
        return
    content = [{"type": "text", "text": "."}]
    try:
        policy.reply(Conversation(({"role": "user", "content": content},)), max_new_tokens=1, constraint=constraint)
    except UsageError as error:
        if required:
            raise
        policy.profile = replace(policy.profile, structured="off")
        if on_status is not None:
            on_status(f"structured output is off: {error}")


def _select_model(endpoint: Endpoint, models: Sequence[Mapping[str, object]]) -> str:
    names = [str(model["id"]) for model in models if model.get("id")]
    if endpoint.name in names or (endpoint.name and not names):
        return endpoint.name
    if not endpoint.name and len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(f"{endpoint.base} lists no models; name one: {endpoint.base}#NAME")
    available = ", ".join(names[:8])
    if endpoint.name:
        hint = suggest(endpoint.name, names) or f" Write {endpoint.base}#{names[0]}."
        raise UsageError(f"{endpoint.base} has no model '{endpoint.name}'; it has {available}.{hint}")
    raise UsageError(f"{endpoint.base} has several models: {available}. Name one: {endpoint.base}#{names[0]}")
