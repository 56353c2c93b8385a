"""A person at a browser: logs in, filters, asks for a replay, confirms, and sees what became of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from tests.ops.conftest import app, database, project
from tests.support import browser, web

if browser.installed() is None:
    pytest.skip("no chromium with its driver", allow_module_level=True)

from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

pytestmark = pytest.mark.browser

__all__ = ["app", "database", "project"]


@pytest.fixture
def address(app: Celery) -> Iterator[str]:
    from django.contrib.auth.models import User

    from tests.browser import scene

    scene.build(app, 12)
    User.objects.create_superuser("maria", password="maria")
    with web.serving() as served:
        yield f"{served}/admin/queueops/deadletter/"


@pytest.fixture(params=[1280, 390], ids=["desk", "phone"])
def driver(request: pytest.FixtureRequest, address: str) -> Iterator[WebDriver]:
    with browser.opened(width=request.param) as opened:
        opened.get(address)
        opened.find_element(By.NAME, "username").send_keys("maria")
        opened.find_element(By.NAME, "password").send_keys("maria")
        press(opened, "input[type=submit]")
        yield opened


def press(driver: WebDriver, selector: str) -> None:
    """Click, and wait for the page that follows."""
    button = driver.find_element(By.CSS_SELECTOR, selector)
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'}); window.leaving = true", button)
    button.click()
    arrived = "return !window.leaving && document.readyState === 'complete'"
    WebDriverWait(driver, 15).until(lambda driver: driver.execute_script(arrived))


def text(driver: WebDriver, selector: str) -> str:
    return " ".join(driver.find_element(By.CSS_SELECTOR, selector).text.split())


def test_a_person_filters_confirms_and_replays(driver: WebDriver, address: str) -> None:
    from queueops.models import AuditEntry, DeadLetter

    # Filter by the error group that died most
    press(driver, ".qo-groups li:first-child a")
    matching = len(driver.find_elements(By.CSS_SELECTOR, "#result_list tbody tr"))
    assert 0 < matching < 12
    # Choose one letter and replay it: the page asks, and says which
    driver.find_element(By.CSS_SELECTOR, "#result_list .action-select").click()
    Select(driver.find_element(By.NAME, "action")).select_by_visible_text("Replay")
    press(driver, "#changelist-form button[type=submit]")
    assert "1 letter that you chose will be replayed" in text(driver, ".qo-sentence")
    press(driver, ".submit-row input[type=submit]")
    assert text(driver, ".messagelist") == "1 letter replayed."
    assert len(driver.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")) == matching - 1
    # Then the rest of what matches
    press(driver, ".object-tools a")
    assert f"{matching - 1} letter" in text(driver, ".qo-sentence")
    press(driver, ".submit-row input[type=submit]")
    assert DeadLetter.objects.filter(status="replayed").count() == matching
    assert sum(AuditEntry.objects.values_list("result_count", flat=True)) == matching


def test_a_person_edits_arguments_sees_the_difference_and_replays(driver: WebDriver, address: str) -> None:
    from queueops.models import DeadLetter

    letter = DeadLetter.objects.filter(task="tasks.webhooks.deliver").first()
    assert letter is not None
    driver.get(f"{address}{letter.pk}/change/")
    press(driver, ".qo-actions a[href$='/edit/']")
    field = driver.find_element(By.NAME, "kwargs")
    written = field.get_property("value")
    assert isinstance(written, str) and "••••••" in written and "K5oZfzN95Z9UVu1E" not in written
    driver.execute_script(
        "arguments[0].value = arguments[1]", field, written.replace('"endpoint_id": 41', '"endpoint_id": 42')
    )
    press(driver, ".submit-row input[type=submit]")
    assert text(driver, ".qo-added") == '+ "endpoint_id": 42,'
    press(driver, "button[value=replay]")
    assert "was replayed with the arguments you wrote" in text(driver, ".messagelist")
    assert text(driver, ".qo-head .qo-pill") == "replayed"


def test_no_page_is_wider_than_the_screen(driver: WebDriver, address: str) -> None:
    from queueops.models import DeadLetter

    letter = DeadLetter.objects.latest("pk")
    for path in ("", f"{letter.pk}/change/", f"{letter.pk}/edit/", "operate/replay/?filter="):
        driver.get(address + path)
        width = driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1], path
