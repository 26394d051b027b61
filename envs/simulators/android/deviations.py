"""How the commands of real phones deviate from Android's own, as faults of the simulated phone."""

from __future__ import annotations

from collections.abc import Sequence

from envs.simulators.android.faults import Faults
from envs.simulators.android.shell_result import ShellResult, text_result

WARNING = b"[Warning] Multiple displays were found, but no display id was specified! Defaulting to the first one.\n"
FORBIDDEN_INPUT = (
    "java.lang.SecurityException: Injecting input events requires the caller (or the source of the instrumentation, if "
    "any) to have the INJECT_EVENTS permission."
)
FORBIDDEN_IME = (
    "Exception occurred while executing 'ime':\njava.lang.SecurityException: uid 2000 does not have "
    "android.permission.WRITE_SECURE_SETTINGS."
)
FORBIDDEN_PROFILE = (
    "Exception occurred while executing 'start':\njava.lang.SecurityException: Permission Denial: starting Intent from "
    "null (pid=4711, uid=2000) requires android.permission.INTERACT_ACROSS_USERS for user 10"
)
NOT_STARTED = "Error: Activity not started, unable to resolve Intent"
NO_LIST = "cmd: Can't find service: package"
DROPPED = str.maketrans("", "", "\"'\\`")
INNER_DISPLAY, OUTER_DISPLAY = "4619827677550801153", "4619827259835644672"


def refuse(faults: Faults, words: Sequence[str]) -> ShellResult | None:
    """Return the phone's refusal of a command, None for a command that it runs."""
    name, verb = words[0], words[1] if len(words) > 1 else ""
    if name == "input" and faults.has("noinput"):
        return ShellResult(err=f"{FORBIDDEN_INPUT}\n".encode(), code=255)
    if name == "ime" and faults.has("noime"):
        return ShellResult(err=f"{FORBIDDEN_IME}\n".encode(), code=255)
    if (name, verb) == ("am", "start"):
        if faults.has("nostart"):
            return text_result(NOT_STARTED)
        if faults.has("workprofile") and "-n" in words:
            return ShellResult(err=f"{FORBIDDEN_PROFILE}\n".encode(), code=255)
    if (name, verb) == ("am", "broadcast") and (
        faults.has("lostbroadcast") or (faults.has("namedbroadcast") and "-p" not in words)
    ):
        return text_result("Broadcasting: Intent { flg=0x400000 (has extras) }\nBroadcast completed: result=0")
    if (name, verb) == ("cmd", "package") and faults.has("nolist"):
        return text_result(NO_LIST)
    return None


def change_words(faults: Faults, words: Sequence[str]) -> list[str]:
    """Return the words of a command as the phone understands them."""
    if list(words[:2]) == ["input", "text"] and faults.has("dropquotes"):
        return [*words[:2], *(word.translate(DROPPED) for word in words[2:])]
    return list(words)


def distort_output(faults: Faults, result: ShellResult) -> ShellResult:
    """Return the output of a line as the phone sends it."""
    out, err, code = result
    if faults.has("crlf"):
        out, err = out.replace(b"\n", b"\r\n"), err.replace(b"\n", b"\r\n")
    return ShellResult(out, err, 0 if faults.has("exitzero") else code)
