"""Render tool schemas as text, for chat templates that cannot.

Qwen2.5-VL's vision template renders no tools, its text template does. The structure is that of the latter (heading,
<tools> with one JSON object per line, the form of a call in <tool_call>); the sentences are this project's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

CALL_OPEN, CALL_CLOSE = "<tool_call>", "</tool_call>"
RESPONSE_OPEN, RESPONSE_CLOSE = "<tool_response>", "</tool_response>"

Syntax = Literal["json", "xml"]  # of the calls
CALL_FORMS: dict[Syntax, str] = {
    "json": "To call one, write a JSON object with its name and its arguments inside <tool_call></tool_call>:\n"
    f'{CALL_OPEN}\n{{"name": <function-name>, "arguments": <args-json-object>}}\n{CALL_CLOSE}',
    "xml": "To call one, write its name and each argument as a tag inside <tool_call></tool_call>:\n"
    f"{CALL_OPEN}\n<function=NAME>\n<parameter=KEY>\nVALUE\n</parameter>\n</function>\n{CALL_CLOSE}",
}


def tools_block(tools: Sequence[Mapping[str, Any]], syntax: Syntax = "json") -> str:
    """Return the end of the system turn that describes the functions; "" if there are none."""
    if not tools:
        return ""
    signatures = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    return (
        "# Tools\n\n"
        "You act by calling functions. The signature of each is a JSON object, one a line, inside <tools></tools>:\n"
        f"<tools>\n{signatures}\n</tools>\n\n{CALL_FORMS[syntax]}"
    )
