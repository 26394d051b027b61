"""Managed policies of a Chromium that runs on a desktop of its own.

Chromium reads them from a folder below /etc, which only root can write; a sandbox shows it another folder there.
Source: https://chromeenterprise.google/policies/
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

PolicyValue = bool | int | str | list[str]

MANAGED_FOLDERS = (  # of Chromium, Debian's and Ubuntu's builds of it, Chrome, Chrome for Testing, Edge and Brave
    "/etc/chromium/policies/managed",
    "/etc/chromium-browser/policies/managed",
    "/etc/opt/chrome/policies/managed",
    "/etc/opt/chrome_for_testing/policies/managed",
    "/etc/opt/edge/policies/managed",
    "/etc/brave/policies/managed",
)
FILE_NAME = "zz-pixelhand.json"  # the last file in alphabetical order takes precedence
BLOCKED = [
    "file://*",
    "filesystem:*",
    "chrome://*",
    "chrome-untrusted://*",
    "devtools://*",
    "javascript://*",
    "view-source:*",
    "ftp://*",
]
BLOCK = 2  # of the Default*Setting and Default*GuardSetting policies
OFF = (  # what reads the user's data, shows a dialog of the system or leaves the page
    "AllowFileSelectionDialogs",
    "AudioCaptureAllowed",
    "AutofillAddressEnabled",
    "AutofillCreditCardEnabled",
    "BackgroundModeEnabled",
    "BrowserAddPersonEnabled",
    "BrowserGuestModeEnabled",
    "CommandLineFlagSecurityWarningsEnabled",
    "DefaultBrowserSettingEnabled",
    "EditBookmarksEnabled",
    "ImportAutofillFormData",
    "ImportBookmarks",
    "ImportHistory",
    "ImportSavedPasswords",
    "ImportSearchEngine",
    "MetricsReportingEnabled",
    "PasswordManagerEnabled",
    "PrintingEnabled",
    "PromotionsEnabled",
    "PromptForDownloadLocation",
    "ScreenCaptureAllowed",
    "SearchSuggestEnabled",
    "SharedClipboardEnabled",
    "SpellCheckServiceEnabled",
    "TranslateEnabled",
    "VideoCaptureAllowed",
)
ASKED = (  # what a page has to ask for
    "DefaultFileSystemReadGuardSetting",
    "DefaultFileSystemWriteGuardSetting",
    "DefaultGeolocationSetting",
    "DefaultLocalFontsSetting",
    "DefaultNotificationsSetting",
    "DefaultSensorsSetting",
    "DefaultSerialGuardSetting",
    "DefaultWebBluetoothGuardSetting",
    "DefaultWebHidGuardSetting",
    "DefaultWebUsbGuardSetting",
    "DefaultWindowManagementSetting",
)


def managed_policies(downloads: Path, allowed: Sequence[str] = (), machine: Path = Path("/")) -> dict[str, PolicyValue]:
    """Return the policies by name.

    Args:
        downloads: The only folder that downloads are stored in.
        allowed: Addresses and patterns that are opened although their scheme is blocked, as the practice pages are.
        machine: Root of the file system, whose own managed policies stay in force where these have no value.
    """
    policies = _machine_policies(machine)
    blocked = policies.get("URLBlocklist", [])
    policies.pop("URLAllowlist", None)
    policies.pop("URLBlocklist", None)
    policies |= dict.fromkeys(OFF, False) | dict.fromkeys(ASKED, BLOCK)
    policies |= {
        "URLBlocklist": [*BLOCKED, *(blocked if isinstance(blocked, list) else [])],
        "URLAllowlist": list(allowed),
        "BrowserSignin": 0,
        "DeveloperToolsAvailability": 1,  # 2 would forbid the pipe that opens practice pages; their address is blocked
        "DownloadDirectory": str(downloads),
        "DownloadRestrictions": 1,  # no dangerous types
        "ExtensionInstallBlocklist": ["*"],
        "HomepageLocation": "about:blank",
        "IncognitoModeAvailability": 1,  # not available
        "NewTabPageLocation": "about:blank",
        "SyncDisabled": True,
    }
    return policies


def write_policies(folder: Path, policies: Mapping[str, PolicyValue]) -> None:
    """Write policies into a folder that takes the place of MANAGED_FOLDERS."""
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_text(json.dumps(policies, indent=1))


def _machine_policies(machine: Path) -> dict[str, PolicyValue]:
    """Return the managed policies of this machine, later files over earlier ones."""
    policies: dict[str, PolicyValue] = {}
    for folder in MANAGED_FOLDERS:
        for path in sorted((machine / folder.lstrip("/")).glob("*.json")):
            try:
                values = json.loads(path.read_text())
            except (OSError, ValueError):  # Chromium ignores such a file too
                continue
            if isinstance(values, dict):
                policies |= values
    return policies
