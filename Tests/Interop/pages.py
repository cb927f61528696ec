"""The chat page in Debian's Chromium, headless; what a person would do and see, by the ids that the page promises."""

import collections
import os
import pathlib
import urllib.parse

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from brokers import program
from eventually import eventually

Said = collections.namedtuple("Said", "id state text")

# The page keeps the last few hundred messages, so each is noted when it appears. This runs before the page's own code.
NOTE_MESSAGES = """
window.seenMessages = new Map();
new MutationObserver((records) => {
    for (const record of records) {
        for (const e of record.type === 'attributes' ? [record.target] : record.addedNodes) {
            const id = e.dataset?.messageId;
            if (id) seenMessages.set(id, [id, e.dataset.state ?? null, e.querySelector('.message-text')?.textContent ?? null]);
        }
    }
}).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ['data-state'] });
"""
# One question for all messages: a thousand round trips through the driver would take half a minute.
READ_MESSAGES = "return Array.from(window.seenMessages.values())"


class ChatPage:
    """One person at one node: `with ChatPage(node, "lobby", "ann") as page`."""

    def __init__(self, node, room, name, folder):
        options = webdriver.ChromeOptions()
        options.binary_location = program("chromium")
        for argument in (
            "--headless=new",
            "--no-sandbox",  # which Chromium insists on for root
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--no-proxy-server",
            "--window-size=1000,800",
            f"--user-data-dir={folder}/chromium-{name}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        environment = {**os.environ, **node.keys.browser(pathlib.Path(folder) / f"home-{name}")}
        self.driver = webdriver.Chrome(options=options, service=Service(program("chromedriver"), env=environment))
        self.node, self.name = node, name
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NOTE_MESSAGES})
        hash = urllib.parse.urlencode({"room": room, "name": name})
        self.driver.get(f"{node.web}/#{hash}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def element(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def state(self):
        return self.driver.execute_script("return document.querySelector('#status')?.dataset.state ?? null")

    def console(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def wait_until_live(self, seconds=40):
        """Until the page says that it is connected and in its room."""
        eventually(
            lambda: f"{self.name}'s page is live; it is {self.state()!r}, its console says {self.console()}",
            lambda: self.state() == "online",
            seconds,
        )
        return self

    def join(self):
        """Presses the button, if the page did not join by itself from its address. The password of a person is the
        person's name, where one is asked for."""
        if self.node.keys.password:
            field = self.element("#password")
            eventually(lambda: f"the page asks for a password; its console says {self.console()}", field.is_displayed)
            field.send_keys(self.name)
        button = self.element("#join")
        if button.is_displayed():
            button.click()
        return self

    def say(self, text):
        box = self.element("#text")
        box.clear()
        box.send_keys(text)
        self.element("#send").click()

    def said(self):
        return [Said(*row) for row in self.driver.execute_script(READ_MESSAGES)]

    def texts(self):
        return [said.text for said in self.said()]

    def wait_for(self, wanted, seconds=30):
        """The texts on the page, once all that is `wanted` is among them."""
        wanted = set(wanted)
        eventually(
            lambda: f"{self.name} sees {len(wanted)} texts; missing: {sorted(wanted - set(self.texts()))[:20]}",
            lambda: self.driver.execute_script("return seenMessages.size") >= len(wanted) and wanted <= set(self.texts()),
            seconds,
        )
        return self.texts()
