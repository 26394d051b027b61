"""Finding an app by package, component or name.

An app's label cannot be read over adb without its package file, so names are matched against package names; well-known
apps are in a table.
"""

from __future__ import annotations

import re

from actions import InvalidActionError
from actions.suggest import suggest

COMPONENT = re.compile(r"(?m)^\s*([\w.]+/[\w.$]+)\s*$")
GENERIC = {"com", "org", "net", "io", "android", "app", "apps", "google", "mobile", "client", "main"}
TOP_LEVEL = {"com", "org", "net", "edu", "gov", "android"}  # first labels of packages, beside country codes
MIN_PARTIAL = 3  # characters of a name that is searched inside of package names
WELL_KNOWN = {  # packages by normalized app name
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
    "twitter": ("com.twitter.android",),
    "x": ("com.twitter.android",),
    "youtube": ("com.google.android.youtube",),
}


def parse_components(launchable: str) -> list[str]:
    """Return the components in the output of `cmd package query-activities --brief`."""
    return list(dict.fromkeys(COMPONENT.findall(launchable)))


def is_package(target: str) -> bool:
    """Return whether a target without a scheme is a package or component rather than a web address.

    Packages are reversed domain names: com.example.app is one, example.com and de.example.com are not.
    """
    package, _, activity = target.strip().partition("/")
    if not re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", package):
        return False
    if activity.startswith("."):
        return True
    labels = package.lower().split(".")
    first, last = labels[0], labels[-1]
    if first in TOP_LEVEL:
        return last not in TOP_LEVEL and (len(last) > 2 or len(labels) > 2)
    if len(first) == 2:  # a country code
        return "android" in labels or (last not in TOP_LEVEL and len(last) > 2)
    return False


def describe_unreadable_list(message: str) -> str:
    """Return the message for a phone that does not list its apps; `message` is its own."""
    return f"the phone's list of apps could not be read ({message or 'it is empty'}); open the app from the home screen"


def is_address(target: str, components: list[str]) -> bool:
    """Return whether a target is an address for the browser, rather than one of these apps or the name of one."""
    name = target.strip()
    if name in components or name in {component.partition("/")[0] for component in components} or is_package(target):
        return False
    return "://" in target or name == "about:blank" or ("." in target and " " not in target)


def find_component(target: str, components: list[str]) -> str:
    """Return the component of the app that `target` names.

    Args:
        target: a component, a package, or an app's name.
        components: the installed apps.

    Raises:
        InvalidActionError: if no app or several match; the message lists candidates.
    """
    packages = {component.partition("/")[0]: component for component in reversed(components)}
    target = target.strip()
    if target in components:
        return target
    if target in packages:
        return packages[target]
    name = _normalize(target.removesuffix(" app"))
    for package in WELL_KNOWN.get(name, ()):
        if package in packages:
            return packages[package]
    names = {package: _names(package) for package in packages}
    for matches in (
        [package for package in packages if name in names[package]],
        [package for package in packages if len(name) >= MIN_PARTIAL and any(name in part for part in names[package])],
    ):
        if len(matches) == 1:
            return packages[matches[0]]
        if matches:
            raise InvalidActionError(
                f"several apps match {target[:80]!r}: {', '.join(sorted(matches)[:8])}; name one by its package"
            )
    if is_package(target):
        raise InvalidActionError(
            f"{target[:80]!r} is not installed on this phone. Installed: {', '.join(sorted(packages)[:20])}"
        )
    hint = suggest(name, {part for parts in names.values() for part in parts})
    hint = hint or f" Installed: {', '.join(sorted(packages)[:20])}"
    raise InvalidActionError(f"no app {target[:80]!r} on this phone.{hint}")


def _normalize(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _names(package: str) -> list[str]:
    """Return the parts of a package name that may name the app: org.example.notes -> ["example", "notes"]."""
    parts = [_normalize(part) for part in package.split(".")]
    return [part for part in parts[1:] if part not in GENERIC] or parts[-1:]
