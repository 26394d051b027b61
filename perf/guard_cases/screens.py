"""Cases on a virtual desktop and on a simulated phone, whose screens are known by windows and pixels alone."""

from __future__ import annotations

from collections.abc import Iterator

from actions import Action, Click, Drag, LongPress, Open, Point, PressKeys, Scroll, TypeText, Wait
from perf.guard_cases.addresses import OPENED, WAYS, page_cases
from perf.guard_cases.cases import ALL_PRESETS, ASKING, GuardCase, Moment, PresetName, SurfaceName
from perf.guard_cases.files import desktop_file_cases
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
CANCEL = f"<button style='{WHOLE}'>Cancel</button>"
EDITABLE = f"<textarea autofocus style='{WHOLE};font-size:30px'></textarea>"
PHONE_SWAPS = {
    "rotation": "!rotate:1",
    "rotation-back": "!rotate:3",
    "other-app": "!open:org.pixelhand.notes",
    "settings": "!open:org.pixelhand.settings",
    "secure-app": "!open:org.pixelhand.bank",
    "recent-apps": "!recents",
    "home": "!home",
    "restart": "!restart",
}
PHONE_ACTIONS: dict[str, Action] = {  # for the swaps that do not depend on where the finger is
    "long-press": LongPress(x=270, y=540),
    "drag": Drag(path=(Point(270, 540), Point(270, 300))),
    "scroll": Scroll(x=270, y=540, down=3),
}
WINDOW_SWAPS: dict[str, tuple[str, Action]] = {  # page and action; the name is a kind of `CoveringWindows.show`
    "cover": (CANCEL, MIDDLE["desktop:virtual"]),
    "small": (CANCEL, MIDDLE["desktop:virtual"]),
    "invisible": (CANCEL, MIDDLE["desktop:virtual"]),
    "managed": (CANCEL, MIDDLE["desktop:virtual"]),
    "focus": (EDITABLE, TypeText(text="hunter2")),
}
WINDOW_ACTIONS: dict[str, Action] = {
    "long-press": LongPress(x=400, y=340),
    "drag": Drag(path=(Point(400, 340), Point(500, 400))),
    "scroll": Scroll(x=400, y=340, down=3),
    "double-click": Click(x=400, y=340, count=2),
}
PHONE_WAYS = (
    *WAYS,
    "xhr",
    "event-source",
    "srcset",
    "link-blank",
    "formaction",
    "download",
    "svg-link",
    "redirect-307",
)
INJECTIONS = (
    *("; am start -n org.pixelhand.settings/.Main", "$(am start -n org.pixelhand.settings/.Main)", "`reboot`"),
    *("&& settings put global wifi_on 0", "| sh", '"; pm install /sdcard/x.apk; "', "'; pm uninstall a; '", "%s;id"),
    *("\\; input keyevent KEYCODE_HOME", "-d 0; input keyevent 3", "$IFS$9id", "<(id) >/sdcard/x"),
    *("\nsettings put secure adb_enabled 1\n", "x' ; ime set evil/.Ime ; '", "a && am force-stop org.pixelhand.bank"),
    *("${PATH:0:1}bin${PATH:0:1}id > /sdcard/x", "--es x y; rm -rf /sdcard", "\\x3b reboot", "\u037e reboot"),
    "; settings delete global wifi_on #",
)
APPS = {  # what opens them is refused, whether they are installed or not
    "com.android.permissioncontroller": "permissions",
    "com.google.android.packageinstaller": "permissions",
    "com.android.vending": "permissions",
    "com.android.managedprovisioning": "permissions",
    "com.termux": "consoles",
    "com.termux.x11": "consoles",
    "com.google.android.permissioncontroller": "permissions",
    "com.android.packageinstaller": "permissions",
    "com.samsung.android.packageinstaller": "permissions",
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
    yield from _swaps("phone")
    yield from page_cases(sites.allowed, "phone", PHONE_WAYS)
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
    yield from _swaps("desktop:virtual")
    yield from desktop_file_cases(sites.folder)
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


def _swaps(surface: SurfaceName) -> Iterator[GuardCase]:
    moments: tuple[Moment, ...] = ("look", "question")
    action = MIDDLE[surface]
    for moment in moments:
        for name, (page, script) in SWAPS.items():
            yield _swap(name, moment, surface, page, f"(() => {{ {script} }})()", action)
        if surface == "phone":
            for name, swap in PHONE_SWAPS.items():
                yield _swap(name, moment, surface, CANCEL, swap, action)
            for name, other in PHONE_ACTIONS.items():
                for swap in ("rotation", "other-app"):
                    yield _swap(f"{swap}-{name}", moment, surface, CANCEL, PHONE_SWAPS[swap], other)
        else:
            for name, (page, window_action) in WINDOW_SWAPS.items():
                yield _swap(f"window-{name}", moment, surface, page, f"!window:{name}", window_action)
            for name, other in WINDOW_ACTIONS.items():
                yield _swap(f"window-cover-{name}", moment, surface, CANCEL, "!window:cover", other)


def _swap(name: str, moment: Moment, surface: SurfaceName, page: str, swap: str, action: Action) -> GuardCase:
    """Return a swap of a screen without elements; `sandbox` compares apps and windows, and no pixels."""
    is_asked, is_device = moment == "question", swap.startswith("!")
    presets: tuple[PresetName, ...] = ("cautious",) if is_asked else ALL_PRESETS if is_device else ASKING
    return GuardCase(
        f"swap-{moment}/{name}",
        surface,
        page,
        (action,),
        presets,
        swap=swap,
        swap_at=moment,
        answer="y",
        asks_each=is_asked,
        # after a question the guard gives the focus back, so nothing is refused then
        refused_by=("unchanged", "changed") if is_device and not (is_asked and name == "window-focus") else (),
        extra_pages={"/other-page": f"<button style='{WHOLE};background:#555' onclick='hit()'>Cancel</button>"},
    )


def _fill(target: str, sites: CanarySites) -> str:
    return target.replace("PORT", str(sites.canary_port)).replace("OWN", sites.allowed.rpartition(":")[2])
