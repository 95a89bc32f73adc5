"""Headless Chromium, of the system, as a user who logs in.

It reaches this machine and nothing else, and leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Literal

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

__all__ = ["Browser", "Decision", "browsing", "programs"]

Decision = Literal["consent", "deny", "deny at login"]
SECONDS = 20.0
"""For every page."""
PASSWORD = "secret"
REBOUND = "rebound.example"
"""A name of somebody else's that leads to this machine."""


def programs() -> tuple[str, str] | None:
    """The paths of Chromium and its driver; None where one is missing."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    return None if browser is None or driver is None else (browser, driver)


@contextmanager
def browsing(browser: str, driver: str) -> Iterator[Browser]:
    """A running Chromium, ended with the block."""
    with TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        home = dict.fromkeys(("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), folder)
        window = webdriver.Chrome(_options(browser, folder), Service(driver, env={**os.environ, **home}))
        try:
            window.set_page_load_timeout(SECONDS)
            with ThreadPoolExecutor(1) as thread:
                yield Browser(window, thread)
        finally:
            window.quit()


def _options(browser: str, folder: str) -> webdriver.ChromeOptions:
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    # No connections ahead of time: the Inspector waits for the end of those to its port, used or not.
    options.add_experimental_option("prefs", {"net.network_prediction_options": 2})
    for argument in (
        "--headless=new",
        f"--user-data-dir={folder}/profile",
        "--disable-dev-shm-usage",
        "--disable-breakpad",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--no-proxy-server",
        f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        # Chromium's sandbox does not work for root; the pages are our own.
        *(("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()),
    ):
        options.add_argument(argument)
    return options


class Browser:
    """The user's browser. `open` is what a program calls with a URL: it returns at once, and the user goes on alone."""

    def __init__(self, window: webdriver.Chrome, thread: ThreadPoolExecutor) -> None:
        self.window = window
        self._thread = thread
        self._logins: list[Future[None]] = []
        self.user, self.password = "ann", PASSWORD
        self.decision: Decision = "consent"
        self.opened: list[str] = []
        self.pages: list[str] = []
        """What the user met: keys of `ANSWERS`, and the text of the last page of each login."""

    def open(self, url: str) -> bool:
        self.opened.append(url)
        self._logins.append(self._thread.submit(self.log_in, url))
        return True

    def done(self) -> None:
        """Waits for the logins that were begun. Raises what went wrong in them."""
        while self._logins:
            self._logins.pop().result(SECONDS)

    def forget(self) -> None:
        """A user who was never here."""
        self.window.get("about:blank")
        self.window.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.window.execute_cdp_cmd("Network.clearBrowserCache", {})
        self.window.get_log("browser")
        self.user, self.password, self.decision, self.opened, self.pages = "ann", PASSWORD, "consent", [], []

    def log_in(self, url: str) -> None:
        """Through the pages of providers, to whatever page comes after them."""
        self.visit(url)
        while (page := self._page()) in ANSWERS:
            self.pages.append(page)
            ANSWERS[page](self)
        self.pages.append(page)

    def visit(self, url: str) -> str:
        """The text of a page."""
        self.window.get(url)
        return self.text

    @property
    def text(self) -> str:
        return self.window.find_element(By.TAG_NAME, "body").text

    def _page(self) -> str:
        """oidc-provider names its pages; ours are told by what is on them."""
        prompts = self.window.find_elements(By.NAME, "prompt")
        if prompts:
            return prompts[0].get_attribute("value") or ""
        if self.window.find_elements(By.CSS_SELECTOR, "form input[type=password]"):
            return "sign in"
        return "allow" if self.window.find_elements(By.CSS_SELECTOR, "form button") else self.text

    def _log_in_there(self) -> None:
        if self.decision == "deny at login":
            self._cancel()
            return
        self._field("login").send_keys(self.user)
        self._field("password").send_keys(self.password)
        self._press("button[type=submit]")

    def _consent_there(self) -> None:
        if self.decision == "deny":
            self._cancel()
        else:
            self._press("button[type=submit]")

    def _cancel(self) -> None:
        self._leave(self.window.find_element(By.PARTIAL_LINK_TEXT, "Cancel"))

    def _field(self, name: str) -> WebElement:
        return self.window.find_element(By.NAME, name)

    def _leave(self, button: WebElement) -> None:
        self.leave(button.click)

    def leave(self, act: Callable[[], object]) -> None:
        """Does something, and waits for another document, whole, and one that does not go on by itself."""
        before = self.window.find_element(By.TAG_NAME, "html").id
        act()
        WebDriverWait(self.window, SECONDS, 0.02).until(
            lambda window: (
                window.find_element(By.TAG_NAME, "html").id != before
                and window.execute_script("return document.readyState") == "complete"
                and window.title != "Going on"
            )
        )

    def _press(self, selector: str) -> None:
        self._leave(self.window.find_element(By.CSS_SELECTOR, selector))

    def _sign_in_here(self) -> None:
        self._field("username").send_keys(self.user)
        self._field("password").send_keys(self.password)
        self._decide_here()

    def _decide_here(self) -> None:
        self._press(f"button[value={'allow' if self.decision == 'consent' else 'deny'}]")


ANSWERS: dict[str, Callable[[Browser], None]] = {
    "login": Browser._log_in_there,
    "consent": Browser._consent_there,
    "sign in": Browser._sign_in_here,
    "allow": Browser._decide_here,
}
"""What the user does on a page."""
