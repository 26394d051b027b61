"""Whether the shown page loads, or has not ended what the last action started."""

from __future__ import annotations

from envs.chromium.activity import forget_work, is_busy
from envs.chromium.sign_in import find_challenge
from envs.chromium.tabs import Tabs
from envs.chromium.virtual_time import has_virtual_time


async def is_loading(tabs: Tabs, is_blank: bool) -> bool:
    """Return whether the shown page loads its next document, or has not ended what the last action started.

    After `activity.CAP_S` it is not awaited any more, and a notice says so. Practice pages start nothing.

    Args:
        tabs: The tabs of the browser.
        is_blank: Whether the last screenshot is blank.
    """
    page = tabs.shown
    if page is None or tabs.dialogs or tabs.page_failure or tabs.browser_failure:
        return False
    if page in tabs.loading:
        return True
    if has_virtual_time(page):
        return False
    activity = tabs.activity
    if activity.is_reported:
        return False
    has_requests = activity.has_requests(page) or activity.is_drawing_pdf(page, is_blank)
    is_open = has_requests or await is_busy(page, activity.wall_time)
    if is_open and activity.is_late():
        activity.is_reported = True
        challenge = await find_challenge(tabs.context, activity.give_up(page))
        await forget_work(page)
        tabs.add_notice(challenge or "the page is still loading")
        return False
    return is_open
