"""Takes the pictures of the documentation: `make screenshots`."""

from __future__ import annotations

import base64
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.support import browser, site, web
from tests.support.valkey import Valkey

site.configure()

from tests.browser import live_scene  # noqa: E402  needs the settings

QUEUES = "/admin/queues/"
LETTERS = "/admin/queueops/deadletter/"
#: Seconds that a page with a live chart is watched before it is taken.
WATCHED = 25


@dataclass(frozen=True, slots=True)
class Look:
    """How pages are looked at: what their pictures' names end with, the window, and light or dark."""

    suffix: str
    width: int
    height: int
    dark: bool = False


DESK, DARK, PHONE = Look("", 1280, 880), Look("-dark", 1280, 880, True), Look("-phone", 390, 844)


def main(folder: Path) -> None:
    """Write the pictures of the dashboard and of the letters in admin."""
    folder.mkdir(parents=True, exist_ok=True)
    valkey = Valkey()
    try:
        with site.database(), site.celery_app(valkey.broker_url), web.streaming() as address:
            from django.contrib.auth.models import User

            chance = random.Random(3)
            live_scene.build()
            User.objects.create_superuser("maria", password="maria")
            for look, pages in _wanted():
                with browser.opened(width=look.width, height=look.height, dark=look.dark) as driver:
                    _log_in(driver, address)
                    for name, path in pages.items():
                        _take(driver, f"{address}{path}", folder / f"{name}{look.suffix}.png", look, chance)
    finally:
        valkey.close()


def _wanted() -> Iterator[tuple[Look, dict[str, str]]]:
    from queueops.models import DeadLetter
    from queueops.ops import leases
    from queueops.ops.permissions import Actor

    [stuck, *_] = leases.stuck(Actor.shell("maria"))
    letter = DeadLetter.objects.filter(error_class="DeliveryFailed").latest("died_at")
    dashboard = {
        "overview": QUEUES,
        "queue": f"{QUEUES}queue/bulk/",
        "letters": f"{QUEUES}letters/",
        "job": f"{QUEUES}job/{stuck.row.task_id}/",
        "org": f"{QUEUES}org/globex/",
        "workers": f"{QUEUES}workers/",
    }
    yield DESK, {**dashboard, "admin": LETTERS, "letter": f"{LETTERS}{letter.pk}/change/"}
    yield DARK, {"overview": QUEUES}
    yield PHONE, {"overview": QUEUES}


def _log_in(driver: WebDriver, address: str) -> None:
    driver.get(f"{address}/admin/login/?next={QUEUES}")
    driver.find_element(By.NAME, "username").send_keys("maria")
    driver.find_element(By.NAME, "password").send_keys("maria")
    driver.find_element(By.CSS_SELECTOR, "[type=submit]").click()


def _watch(driver: WebDriver, chance: random.Random) -> None:
    """Let jobs end while the page follows, until its live chart has a line."""
    points = f"""
        const seen = JSON.parse(sessionStorage.getItem("qd-depth " + location.pathname) || "[]");
        return seen.length > 3 && seen.at(-1)[0] - seen[0][0] >= {WATCHED};
    """

    def seen(driver: WebDriver) -> bool:
        live_scene.beat()
        live_scene.go_on(chance)
        return bool(driver.execute_script(points))

    WebDriverWait(driver, WATCHED * 4).until(seen)


def _take(driver: WebDriver, url: str, file: Path, look: Look, chance: random.Random) -> None:
    live_scene.beat()
    driver.get(url)
    if driver.find_elements(By.CSS_SELECTOR, "[data-chart=depth]"):
        _watch(driver, chance)
    drawn = (
        "return [...document.querySelectorAll('[data-chart]')].every((one) => one.querySelector('canvas'))"
    )
    WebDriverWait(driver, 20).until(lambda driver: driver.execute_script(drawn))
    high = look.height * (2 if look.width < 500 else 1)
    clip = {"x": 0, "y": 0, "width": look.width, "height": high, "scale": 1}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    file.write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
