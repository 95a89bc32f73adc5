"""Headless Chromium, of the system, as a user who logs in.

It reaches this machine and nothing else, and leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
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
    for argument in (
        "--headless=new",
        f"--user-data-dir={folder}/profile",
        "--disable-dev-shm-usage",
        "--disable-breakpad",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        # Chromium's sandbox does not work for root; the pages are our own.
        *(("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()),
    ):
        options.add_argument(argument)
    return options


class Browser:
    """The user's browser. `open` is what a program calls with a URL: it returns at once, and the user goes on alone."""

    def __init__(self, window: webdriver.Chrome, thread: ThreadPoolExecutor) -> None:
        self._window = window
        self._thread = thread
        self._logins: list[Future[None]] = []
        self.user = "ann"
        self.decision: Decision = "consent"
        self.opened: list[str] = []
        self.pages: list[str] = []
        """What the user met: "login", "consent", and the text of the last page of each login."""

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
        self._window.get("about:blank")
        self._window.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self._window.execute_cdp_cmd("Network.clearBrowserCache", {})
        self.user, self.decision, self.opened, self.pages = "ann", "consent", [], []

    def log_in(self, url: str) -> None:
        """Through the provider's pages, to whatever page comes after them."""
        self._window.get(url)
        while (page := self._page()) in ("login", "consent"):
            self.pages.append(page)
            if self.decision == ("deny" if page == "consent" else "deny at login"):
                button = self._window.find_element(By.PARTIAL_LINK_TEXT, "Cancel")
            else:
                if page == "login":
                    self._field("login").send_keys(self.user)
                    self._field("password").send_keys("secret")
                button = self._window.find_element(By.CSS_SELECTOR, "button[type=submit]")
            self._leave(button)
        self.pages.append(page)

    def _page(self) -> str:
        prompts = self._window.find_elements(By.NAME, "prompt")
        if prompts:
            return prompts[0].get_attribute("value") or ""
        return self._window.find_element(By.TAG_NAME, "body").text

    def _field(self, name: str) -> WebElement:
        return self._window.find_element(By.NAME, name)

    def _leave(self, button: WebElement) -> None:
        """Clicks, and waits for another document, whole."""
        before = self._window.find_element(By.TAG_NAME, "html").id
        button.click()
        WebDriverWait(self._window, SECONDS, 0.02).until(
            lambda window: (
                window.find_element(By.TAG_NAME, "html").id != before
                and window.execute_script("return document.readyState") == "complete"
            )
        )
