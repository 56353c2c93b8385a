"""A person at the dashboard: sees a queue grow, unsticks a job, pauses, replays a group, limits an org."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from celery import Celery

from tests.ops.conftest import app, database, project
from tests.support import browser, letters, web
from tests.support.polling import eventually
from tests.support.stack import Stack

if browser.installed() is None:
    pytest.skip("no chromium with its driver", allow_module_level=True)

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

pytestmark = pytest.mark.browser

__all__ = ["app", "database", "project"]

WAIT = 30
#: Moves the pointer onto the first chart; the time that its legend tells.
POINT = """
const chart = document.querySelector("[data-chart] .u-over");
if (!chart) return "";
const {left, top, width, height} = chart.getBoundingClientRect();
const at = {clientX: left + width / 2, clientY: top + height / 2, movementX: 1, bubbles: true};
chart.dispatchEvent(new MouseEvent("mousemove", at));
return chart.closest("[data-chart]").querySelector(".u-legend .u-value").textContent.trim();
"""


class Person:
    """Somebody who may do everything, at a browser."""

    def __init__(self, driver: WebDriver, address: str) -> None:
        self.driver, self.address = driver, address

    def open(self, path: str) -> None:
        self.driver.get(f"{self.address}/admin/queues/{path}")

    def text(self, selector: str) -> str:
        """The text of an element, which the page may be exchanging at this moment."""
        found: list[str] = []

        def read(driver: WebDriver) -> bool:
            try:
                found[:] = [" ".join(driver.find_element(By.CSS_SELECTOR, selector).text.split())]
            except StaleElementReferenceException:
                return False
            return True

        WebDriverWait(self.driver, WAIT).until(read)
        return found[0]

    def press(self, selector: str) -> None:
        """Click, whatever the page exchanges meanwhile."""

        def clicked(driver: WebDriver) -> bool:
            try:
                button = driver.find_element(By.CSS_SELECTOR, selector)
                driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
                button.click()
            except StaleElementReferenceException:
                return False
            return True

        WebDriverWait(self.driver, WAIT).until(clicked)

    def ask(self, button: str, action: str, **fields: str) -> str:
        """Press a button, fill in what its dialog asks, send it; returns what is told on the page after."""
        self.press(button)
        dialog = f"#ask-{action}"
        WebDriverWait(self.driver, WAIT).until(
            lambda driver: driver.find_element(By.CSS_SELECTOR, dialog).is_displayed()
        )
        for name, value in fields.items():
            field = self.driver.find_element(By.CSS_SELECTOR, f"{dialog} [name={name}]")
            if field.tag_name == "select":
                Select(field).select_by_visible_text(value)
            else:
                field.clear()
                field.send_keys(value)
        return self.send(f"{dialog} [type=submit]")

    def send(self, button: str) -> str:
        """Press a button that sends a form; returns what is told on the page after."""
        self.driver.execute_script("window.leaving = true")
        self.press(button)
        arrived = "return !window.leaving && document.readyState === 'complete'"
        WebDriverWait(self.driver, WAIT).until(lambda driver: driver.execute_script(arrived))
        return self.text(".messagelist")

    def sees(self, condition: Callable[[], bool], what: str) -> None:
        eventually(condition, within=WAIT, what=what)


@pytest.fixture
def address(request: pytest.FixtureRequest, app: Celery) -> Iterator[str]:
    """The project over ASGI, where pages follow the stream, or over WSGI, where they ask."""
    with getattr(web, getattr(request, "param", "streaming"))() as served:
        yield served


@pytest.fixture
def person(address: str) -> Iterator[Person]:
    from django.contrib.auth.models import User

    User.objects.create_superuser("maria", password="maria")
    with browser.opened() as driver:
        made = Person(driver, address)
        made.open("")
        driver.find_element(By.NAME, "username").send_keys("maria")
        driver.find_element(By.NAME, "password").send_keys("maria")
        driver.find_element(By.CSS_SELECTOR, "input[type=submit]").click()
        assert made.text("h1") == "Queues"
        yield made
        severe = [line["message"] for line in driver.get_log("browser") if line["level"] == "SEVERE"]
        assert not [line for line in severe if "favicon" not in line], severe


@pytest.mark.parametrize("address", ["streaming", "serving"], indirect=True)
def test_a_queue_that_grows_is_seen_to_grow(person: Person, app: Celery) -> None:
    depth = '[data-queue-depth="bulk"]'
    person.open("")
    assert person.text(depth).split()[0] == "0"
    person.driver.execute_script("window.same = true")
    for number in range(7):
        letters.publish(app, number, queue="bulk", org="acme")
    person.sees(lambda: person.text(depth).split()[0] == "7", "the new depth")
    assert person.driver.execute_script("return window.same"), "the page was not loaded again"
    assert person.driver.find_elements(By.CSS_SELECTOR, "[data-chart] canvas"), "the charts are drawn"


@pytest.mark.parametrize("address", ["serving"], indirect=True)
def test_a_chart_tells_the_time_of_the_project_wherever_the_reader_sits(person: Person) -> None:
    person.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Pacific/Chatham"})
    person.open("")
    zone = ZoneInfo(person.driver.execute_script("return document.getElementById('qd-live').dataset.zone"))
    shown: list[str] = []

    def points_at_the_chart() -> bool:
        shown[:] = [person.driver.execute_script(POINT)]
        return shown[0].count(":") == 2

    begun = datetime.now(zone)
    person.sees(points_at_the_chart, "the time under the pointer")
    hours, minutes, seconds = map(int, shown[0].split(":"))
    told = begun.replace(hour=hours, minute=minutes, second=seconds)
    # A chart shows the last hour, which may have begun yesterday.
    assert (begun - told) % timedelta(days=1) < timedelta(hours=1, minutes=2)


def test_a_stuck_job_is_opened_and_unstuck(stack: Stack, person: Person, app: Celery) -> None:
    stack.worker(pool="prefork", concurrency=1)
    app.send_task("ledger.hold", args=["slow", "gate", 600.0], queue="standard", org="acme")
    eventually(lambda: stack.ledger.starts("slow"), within=WAIT, what="the start of the job")
    person.open("jobs/stuck/?minutes=0")
    person.press("table tbody th a")
    person.sees(lambda: "ledger.hold" in person.text("h1"), "the job's page")
    assert person.text(".qd-head .qo-pill") == "leased"
    told = person.ask("[id^=unstick-]", "unstick")
    assert told == "The run was stopped and the job is back in its lane."


def test_a_queue_is_paused_and_resumed(person: Person) -> None:
    from queueops.models import AuditEntry
    from queueops.ops import broker

    person.open("queue/standard/")
    told = person.ask("#pause_queue-standard", "pause_queue", minutes="1 hour", reason="they migrate")
    assert told.startswith("Queue standard is paused until ")
    assert "they migrate" in person.text(".qd-why")
    with broker.store() as store:
        assert store.queue_snapshot("standard").paused is not None
    assert person.ask("#resume_queue-standard", "resume_queue") == "Queue standard is resumed."
    assert [entry.surface for entry in AuditEntry.objects.all()] == ["dashboard", "dashboard"]


def test_a_group_of_dead_letters_is_replayed(person: Person, app: Celery) -> None:
    from queueops.models import DeadLetter
    from tests.browser import scene

    scene.build(app, 12)
    person.open("letters/")
    count = int(person.text("table tbody tr:first-child td:nth-child(3)"))
    told = person.ask("table tbody tr:first-child [id^=replay_group-]", "replay_group")
    assert told == f"{count} letters replayed."
    assert DeadLetter.objects.filter(status="replayed").count() == count


def test_letters_leave_as_a_file_and_come_back(person: Person, app: Celery, tmp_path: Path) -> None:
    from queueops.models import DeadLetter
    from tests.browser import scene

    scene.build(app, 12)
    count = DeadLetter.objects.filter(status="parked").count()
    allowed = {"behavior": "allow", "downloadPath": str(tmp_path)}
    person.driver.execute_cdp_cmd("Browser.setDownloadBehavior", allowed)
    person.open("letters/?hours=168")
    person.driver.execute_script("window.same = true")
    file = tmp_path / "letters.jsonl"
    # The second time shows that the page works on after the first.
    for saved in (tmp_path / "first", tmp_path / "second"):
        person.press("[id^=export_letters-]")
        person.press("#ask-export_letters [type=submit]")
        person.sees(file.exists, "the file")
        dialog = person.driver.find_element(By.ID, "ask-export_letters")
        assert not dialog.is_displayed() and person.driver.execute_script("return window.same")
        file.rename(saved)
        assert saved.read_text().count("\n") == count
    DeadLetter.objects.all().delete()

    person.press("#import_letters")
    person.driver.find_element(By.CSS_SELECTOR, "#ask-import_letters [type=file]").send_keys(str(saved))
    told = person.send("#ask-import_letters [type=submit]")
    assert told == f"{count} letters imported; 0 were known, 0 refused."
    assert DeadLetter.objects.filter(status="parked").count() == count


def test_an_org_gets_a_limit_for_an_hour(person: Person) -> None:
    from queueops.models import OrgLimit

    person.open("org/acme/")
    fields = {"queue": "bulk", "max_in_flight": "2", "minutes": "1 hour"}
    told = person.ask("#set_limit-acme", "set_limit", **fields)
    assert told.startswith("Limit of acme in bulk: max in flight 2, until ")
    row = OrgLimit.objects.get()
    assert (row.max_in_flight, row.valid_until is not None) == (2, True)
    assert "acme in bulk until" in person.text("main")


def test_no_page_is_wider_than_a_phone(address: str, person: Person, app: Celery) -> None:
    from tests.browser import live_scene

    live_scene.build(minutes=3)
    metrics = {"width": 360, "height": 780, "deviceScaleFactor": 1, "mobile": True}
    person.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    pages = ("", "queue/bulk/", "jobs/", "jobs/stuck/", "letters/", "orgs/", "org/globex/", "resources/")
    for path in (*pages, "resource/whatsapp/", "workers/", "schedules/", "audit/", "doctor/"):
        person.open(path)
        width = person.driver.execute_script("return document.documentElement.scrollWidth")
        assert width <= 360, path
