"""Pages in Chromium, through playwright."""

import functools
import http.server
import shutil
import threading

import pytest

ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def serve():
    """Serves a folder on this machine; gives the address."""
    servers = []

    def serve(folder):
        handler = functools.partial(Quiet, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


class Watched:
    """A page, what it asked for, and what it complained about."""

    def __init__(self, browser, **options):
        self.requests, self.complaints = [], []
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self.console)

    def console(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def check(self, address):
        self.page.wait_for_timeout(150)  # for the map, which waits for a pause
        own = (address, "data:", "blob:")
        assert self.requests
        assert [url for url in self.requests if not url.startswith(own)] == []
        assert self.complaints == []


@pytest.fixture(scope="session")
def watch():
    """Opens a page, `Watched`, with options of a browser's context."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield functools.partial(Watched, browser)
        browser.close()
