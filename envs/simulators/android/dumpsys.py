"""Output of the simulated phone's `dumpsys`, in the shapes that adb clients parse.

Sources: AOSP DisplayViewport.java, WindowManagerService.java, PowerManagerService.java.
"""

from __future__ import annotations

from envs.simulators.android.deviations import INNER_DISPLAY, OUTER_DISPLAY
from envs.simulators.android.screen import App, PhoneScreen


def dump_display(screen: PhoneScreen, asleep: bool, is_foldable: bool = False) -> str:
    """Return the output of `dumpsys display`; the outer display of an unfolded foldable is listed, but not active."""
    width, height = screen.size
    device_width, device_height = (height, width) if screen.rotation % 2 else (width, height)
    outer = (
        "DisplayViewport{type=INTERNAL, valid=true, isActive=false, displayId=0, "
        f"uniqueId='local:{OUTER_DISPLAY}', physicalPort=1, orientation=0, "
        "logicalFrame=Rect(0, 0 - 400, 900), physicalFrame=Rect(0, 0 - 400, 900), deviceWidth=400, deviceHeight=900}, "
    )
    inner_id = INNER_DISPLAY if is_foldable else 0
    return (
        "DISPLAY MANAGER (dumpsys display)\n"
        f"  mViewports=[{outer if is_foldable else ''}DisplayViewport{{type=INTERNAL, valid=true, isActive=true, "
        f"displayId=0, uniqueId='local:{inner_id}', physicalPort=0, orientation={screen.rotation}, "
        f"logicalFrame=Rect(0, 0 - {width}, {height}), physicalFrame=Rect(0, 0 - {width}, {height}), "
        f"deviceWidth={device_width}, deviceHeight={device_height}}}]\n"
        "Display States: size=1\n  Display Id=0\n"
        f"  Display State={'OFF' if asleep else 'ON'}"
    )


def dump_window(app: App, locked: bool, is_secure: bool = False) -> str:
    """Return the output of `dumpsys window`."""
    flags = "LAYOUT_IN_SCREEN " + ("SECURE " if app.secure or is_secure else "") + "HARDWARE_ACCELERATED"
    window = f"Window{{5f3a1c2 u0 {app.package}/{app.package}.MainActivity}}"
    return (
        "WINDOW MANAGER POLICY STATE (dumpsys window policy)\n"
        f"    showing={str(locked).lower()} isKeyguardShowing={str(locked).lower()}\n"
        f"    mShowingDream=false mDreamingLockscreen={str(locked).lower()}\n"
        "WINDOW MANAGER WINDOWS (dumpsys window windows)\n"
        f"  Window #0 {window}:\n    mDisplayId=0 rootTaskId=1\n"
        f"    mAttrs={{(0,0)(fillxfill) sim={{adjust=resize}} ty=BASE_APPLICATION\n      fl={flags}}}\n"
        f"  mCurrentFocus={window}\n"
        f"  mFocusedApp=ActivityRecord{{31c6e2f u0 {app.component} t7}}"
    )


def dump_power(asleep: bool) -> str:
    """Return the output of `dumpsys power`."""
    return (
        "POWER MANAGER (dumpsys power)\n"
        f"  mWakefulness={'Asleep' if asleep else 'Awake'}\n"
        f"  mHoldingDisplaySuspendBlocker={str(not asleep).lower()}\n"
        f"Display Power: state={'OFF' if asleep else 'ON'}"
    )


def dump_activity(app: App) -> str:
    """Return the output of `dumpsys activity`."""
    record = f"ActivityRecord{{31c6e2f u0 {app.component} t7}}"
    return f"  ACTIVITY {app.component} 31c6e2f pid=4211\n  mResumedActivity: {record}"


def dump_input_method(ime: str, bound: bool) -> str:
    """Return the output of `dumpsys input_method`."""
    state = f"mCurMethodId={ime}\n  mHaveConnection=true mBoundToMethod={str(bound).lower()}"
    return f"Current Input Method Manager state:\n  {state}"
