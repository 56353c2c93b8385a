"""Takes the pictures of the documentation: `python -m tests.browser.pictures docs/images`."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

from selenium.webdriver.common.by import By

from tests.support import browser, site, web
from tests.support.valkey import Valkey

site.configure()


def main(folder: Path) -> None:
    """Write admin.png (the list), letter.png, and with `--all` the other pages, dark and narrow ones too."""
    from django.contrib.auth.models import User

    from queueops.models import DeadLetter
    from tests.browser import scene

    folder.mkdir(parents=True, exist_ok=True)
    valkey = Valkey()
    try:
        with site.database(), site.celery_app(valkey.broker_url) as app, web.serving() as address:
            scene.build(app)
            User.objects.create_superuser("maria", password="maria")
            letter = DeadLetter.objects.filter(error_class="DeliveryFailed").order_by("-died_at").first()
            assert letter is not None
            pages = {"admin": "", "letter": f"{letter.pk}/change/"}
            looks = [("", 1440, 960, False)]
            if "--all" in sys.argv:
                pages |= {
                    "replay": "operate/replay/?filter=org%3DCodertocat",
                    "edit": f"{letter.pk}/edit/",
                }
                looks += [("-dark", 1440, 960, True), ("-phone", 390, 844, False)]
            for suffix, width, height, dark in looks:
                with browser.opened(width=width, height=height, dark=dark) as driver:
                    driver.get(f"{address}/admin/login/?next=/admin/queueops/deadletter/")
                    driver.find_element(By.NAME, "username").send_keys("maria")
                    driver.find_element(By.NAME, "password").send_keys("maria")
                    driver.find_element(By.CSS_SELECTOR, "[type=submit]").click()
                    for name, path in pages.items():
                        driver.get(f"{address}/admin/queueops/deadletter/{path}")
                        whole = {"captureBeyondViewport": width < 500}
                        taken = driver.execute_cdp_cmd("Page.captureScreenshot", whole)
                        (folder / f"{name}{suffix}.png").write_bytes(base64.b64decode(taken["data"]))
    finally:
        valkey.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
