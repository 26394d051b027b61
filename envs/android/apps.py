"""Which app is meant: by its package, or by a name as people say it. Knows text only.

An app's own label cannot be read over adb without its package file, so a name is looked for in the package's, and well
known ones stand in KNOWN.
"""

from __future__ import annotations

import difflib
import re

from actions import InvalidActionError

COMPONENT = re.compile(r"(?m)^\s*([\w.]+/[\w.$]+)\s*$")
GENERIC = {"com", "org", "net", "io", "android", "app", "apps", "google", "mobile", "client", "main"}
KNOWN = {
    "calculator": ("com.google.android.calculator", "com.android.calculator2", "com.sec.android.app.popupcalculator"),
    "calendar": ("com.google.android.calendar", "com.android.calendar", "com.samsung.android.calendar"),
    "camera": (
        "com.google.android.GoogleCamera",
        "com.android.camera2",
        "com.android.camera",
        "com.sec.android.app.camera",
    ),
    "chrome": ("com.android.chrome",),
    "clock": ("com.google.android.deskclock", "com.android.deskclock", "com.sec.android.app.clockpackage"),
    "contacts": ("com.google.android.contacts", "com.android.contacts", "com.samsung.android.app.contacts"),
    "drive": ("com.google.android.apps.docs",),
    "files": ("com.google.android.documentsui", "com.google.android.apps.nbu.files", "com.android.documentsui"),
    "gallery": ("com.android.gallery3d", "com.sec.android.gallery3d"),
    "gmail": ("com.google.android.gm",),
    "google": ("com.google.android.googlequicksearchbox",),
    "maps": ("com.google.android.apps.maps",),
    "messages": ("com.google.android.apps.messaging", "com.android.mms", "com.samsung.android.messaging"),
    "phone": ("com.google.android.dialer", "com.android.dialer", "com.samsung.android.dialer"),
    "photos": ("com.google.android.apps.photos",),
    "playstore": ("com.android.vending",),
    "settings": ("com.android.settings",),
    "whatsapp": ("com.whatsapp",),
    "youtube": ("com.google.android.youtube",),
}


def components(launchable: str) -> list[str]:
    """The components in an answer of `cmd package query-activities --brief`."""
    return list(dict.fromkeys(COMPONENT.findall(launchable)))


def find(target: str, have: list[str]) -> str:
    """The component that is meant. BadCall, which names what there is, for none and for several."""
    packages = {component.partition("/")[0]: component for component in reversed(have)}
    target = target.strip()
    if target in have:
        return target
    if target in packages:
        return packages[target]
    name = _plain(target.removesuffix(" app"))
    for package in KNOWN.get(name, ()):
        if package in packages:
            return packages[package]
    said = {package: _names(package) for package in packages}
    for found in (
        [package for package, names in said.items() if name in names],
        [package for package, names in said.items() if name and any(name in part for part in names)],
    ):
        if len(found) == 1:
            return packages[found[0]]
        if found:
            raise InvalidActionError(
                f"several apps could be {target[:80]!r}: {', '.join(sorted(found)[:8])}; name one by its package"
            )
    near = difflib.get_close_matches(name, {part for names in said.values() for part in names}, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"have {', '.join(sorted(packages)[:20])}"
    raise InvalidActionError(f"no app {target[:80]!r} on this phone; {hint}")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _names(package: str) -> list[str]:
    """What of a package's name is the app's own: org.example.notes -> ["notes"], with a vendor's beside it."""
    parts = [_plain(part) for part in package.split(".")]
    return [part for part in parts[1:] if part not in GENERIC] or parts[-1:]
