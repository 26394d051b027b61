"""Cases on a virtual desktop and on a simulated phone, whose screens are known by windows and pixels alone."""

from __future__ import annotations

from collections.abc import Iterator

from actions import Click, Open, PressKeys, TypeText, Wait
from perf.guard_cases.addresses import OPENED, WAYS, page_cases
from perf.guard_cases.cases import ALL_PRESETS, ASKING, GuardCase, Moment, PresetName, SurfaceName
from perf.guard_cases.network_ways import CLICKED, DOCUMENTS, PASSIVE
from perf.guard_cases.sites import CanarySites

WHOLE = "position:fixed;inset:0;width:100%;height:100%;font-size:60px"
MIDDLE = {"phone": Click(x=270, y=540), "desktop:virtual": Click(x=400, y=340)}
SWAPS = {  # page, swap; "!" is a command to the device itself
    "text": (
        f"<button id=b style='{WHOLE};white-space:pre' onclick=\"if (b.textContent[0] == 'P') hit()\"></button>"
        "<script>b.textContent = 'Cancel\\n'.repeat(9)</script>",
        "b.textContent = 'Pay\\n'.repeat(9)",
    ),
    "shift": (
        "<style>body{margin:0}button{display:block;width:100%;height:3000px;font-size:60px;background:#fff}"
        ".d{background:#555}</style><button id=a>Cancel</button><button class=d onclick='hit()'>Delete</button>",
        "a.remove()",
    ),
    "navigation": (f"<button style='{WHOLE}'>Cancel</button>", "location = '/other-page'"),
    "panel": (
        f"<button style='{WHOLE}'>Cancel</button>",
        f"o=document.createElement('div');o.style='{WHOLE};background:#333';o.onclick=hit;document.body.append(o)",
    ),
    "colors": (
        f"<button id=b style='{WHOLE};background:#dfd' onclick=\"if (b.style.color == 'red') hit()\">ok</button>",
        "b.style = b.style.cssText + ';color:red;background:#fdd'; b.textContent = 'no'",
    ),
    "dialog-panel": (
        f"<button style='{WHOLE}'>Cancel</button><dialog id=d onclick='hit()' "
        f"style='{WHOLE};background:#aaf'>Allow</dialog>",
        "d.showModal()",
    ),
}
PHONE_SWAPS = {"rotation": "!rotate:1", "other-app": "!open:notes", "home": "!home"}
INJECTIONS = (
    *("; am start -n org.pixelhand.settings/.Main", "$(am start -n org.pixelhand.settings/.Main)", "`reboot`"),
    *("&& settings put global wifi_on 0", "| sh", '"; pm install /sdcard/x.apk; "', "'; pm uninstall a; '", "%s;id"),
    *("\\; input keyevent KEYCODE_HOME", "-d 0; input keyevent 3", "$IFS$9id", "<(id) >/sdcard/x"),
)
APPS = {  # what opens them is refused, whether they are installed or not
    "com.android.permissioncontroller": "permissions",
    "com.google.android.packageinstaller": "permissions",
    "com.android.vending": "permissions",
    "com.android.managedprovisioning": "permissions",
    "com.termux": "consoles",
}
CHORDS = ("ctrl+alt+t", "alt+f2", "meta+r", "meta+d", "ctrl+alt+f1", "ctrl+alt+f3", "ctrl+alt+delete", "meta+l")
TYPED = (
    "host",
    "other-port",
    "user-name",
    "decimal",
    "mapped",
    "metadata",
    "javascript",
    "data",
    "view-source",
    "file",
    "view-file",
    "settings",
    "devtools",
    "websocket",
)


def phone_cases(sites: CanarySites) -> Iterator[GuardCase]:
    """Yield the cases of a phone."""
    yield from _swaps("phone", sites)
    yield from page_cases(sites.allowed, "phone", WAYS)
    for name, target in OPENED.items():
        yield GuardCase(f"open/{name}", "phone", "start", (Open(target=_fill(target, sites)),), secret="root:x:0:0")
    for number, text in enumerate(INJECTIONS):
        field = f"<textarea autofocus style='{WHOLE}'></textarea>"
        actions = (MIDDLE["phone"], TypeText(text=text))
        yield GuardCase(f"shell/{number}", "phone", field, actions, keeps_state=True)
    for package, rule in APPS.items():
        yield GuardCase(
            f"app/{package}", "phone", "start", (Open(target=package),), ASKING, refused_by=(rule, "addresses")
        )


def desktop_cases(sites: CanarySites) -> Iterator[GuardCase]:
    """Yield the cases of a virtual desktop."""
    yield from _swaps("desktop:virtual", sites)
    pages = {**CLICKED, **DOCUMENTS, **PASSIVE}
    for name in WAYS:
        if name not in ("redirect", "meta-refresh", "location"):  # a person cannot open their pages to begin with
            act = MIDDLE["desktop:virtual"] if name in CLICKED else Wait(seconds=0.3)
            yield GuardCase(f"page/{name}", "desktop:virtual", pages[name], (act,), is_raw=True)
    for name in TYPED:
        target = _fill(OPENED[name], sites)
        actions = (PressKeys(keys=("ctrl", "l")), TypeText(text=f"{target}\n"), Wait(seconds=0.3))
        yield GuardCase(f"typed/{name}", "desktop:virtual", "start", actions, secret="root:x:0:0")
    for chord in CHORDS:
        keys = PressKeys(keys=tuple(chord.split("+")))
        yield GuardCase(
            f"keys/{chord}", "desktop:virtual", "start", (keys,), ASKING, refused_by=("system-keys", "person")
        )


def _swaps(surface: SurfaceName, sites: CanarySites) -> Iterator[GuardCase]:
    moments: tuple[Moment, ...] = ("look", "question")
    swaps = dict(SWAPS)
    if surface == "phone":
        swaps |= {name: (f"<button style='{WHOLE}'>Cancel</button>", swap) for name, swap in PHONE_SWAPS.items()}
    other = f"<button style='{WHOLE};background:#555' onclick='hit()'>Cancel</button>"
    for moment in moments:
        is_asked = moment == "question"
        # `sandbox` compares no pixels, and these screens are known by little else
        presets: tuple[PresetName, ...] = ("cautious",) if is_asked else ASKING
        for name, (page, swap) in swaps.items():
            yield GuardCase(
                f"swap-{moment}/{name}",
                surface,
                page,
                (MIDDLE[surface],),
                ALL_PRESETS if name in PHONE_SWAPS and not is_asked else presets,
                swap=swap if swap.startswith("!") else f"(() => {{ {swap} }})()",
                swap_at=moment,
                answer="y",
                asks_each=is_asked,
                refused_by=("unchanged", "changed") if name in PHONE_SWAPS else (),
                extra_pages={"/other-page": other},
            )


def _fill(target: str, sites: CanarySites) -> str:
    return target.replace("PORT", str(sites.canary_port)).replace("OWN", sites.allowed.rpartition(":")[2])
