"""The page at / in a headless Chromium: each kind of head is tried as a visitor does."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from serving import RunningServer, running

from headway.runtime.server.settings import ServerSettings

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; Debian has it: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # A container gives no user namespaces, which Chromium's own sandbox needs.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, server: RunningServer) -> Iterator[Page]:
    """The page of the shared server; nothing may be logged as an error."""
    with_errors = open_page(browser, server)
    yield next(with_errors)
    next(with_errors, None)


def open_page(browser: Browser, server: RunningServer, **options: Any) -> Iterator[Page]:
    errors: list[str] = []
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    refused = "Failed to load resource: the server responded with a status of 4"
    page.goto(server.url)
    yield page
    context.close()
    assert not [error for error in errors if not error.startswith(refused)]


def choose(page: Page, model: str) -> None:
    page.get_by_role("tab", name=model, exact=True).click()


def test_chat_is_streamed_and_goes_on(page: Page) -> None:
    choose(page, "chat")
    page.get_by_label("Message").fill("hello")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".bubble.user")).to_have_text("hello")
    expect(page.locator("#time")).to_contain_text("tokens")
    expect(page.locator(".bubble.assistant")).not_to_be_empty()
    page.get_by_label("Message").fill("and then?")
    page.locator("summary").click()
    # The conversation is part of the next request.
    expect(page.locator("#command")).to_contain_text('"content": "hello"')
    page.get_by_label("Message").press("Enter")
    expect(page.locator(".bubble.user")).to_have_count(2)
    expect(page.locator(".bubble.writing")).to_have_count(0)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".bubble")).to_have_count(0)


def test_labels_are_those_of_the_model(page: Page, server: RunningServer) -> None:
    choose(page, "classifier")
    page.get_by_label("Text").fill("good film")
    page.get_by_role("button", name="Send").click()
    best = server.post("/predict", {"inputs": "good film", "model": "classifier"}).json()[0]
    expect(page.locator(".bars li").first).to_contain_text(best["label"])
    expect(page.locator(".bars .score").first).to_have_text(f"{best['score']:.4f}")


def test_entities_are_marked_where_they_stand(page: Page, server: RunningServer) -> None:
    text = "🎬 good <b>film"
    choose(page, "tagger")
    page.get_by_label("Text").fill(text)
    page.get_by_role("button", name="Send").click()
    body = {"inputs": text, "model": "tagger", "parameters": {"aggregation_strategy": "simple"}}
    entities = server.post("/v1/pipelines/token-classification", body).json()
    expect(page.locator("mark")).to_have_count(len(entities))
    shown = [mark.removesuffix(entity["entity_group"]) for mark, entity in zip(marks(page), entities, strict=True)]
    assert shown == [text[entity["start"] : entity["end"]] for entity in entities]
    assert not page.locator("#result b").count()


def marks(page: Page) -> list[str]:
    return page.locator("mark").all_text_contents()


def test_sentences_are_compared_and_documents_ordered(page: Page, server: RunningServer) -> None:
    choose(page, "embedder")
    page.get_by_label("Sentence").fill("good film")
    page.get_by_label("Compared with").fill("bad\ngood film")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".bars li").first).to_have_text(re.compile(r"^good film1\.0000"))
    choose(page, "judge")
    page.get_by_label("Query").fill("film")
    page.get_by_label("Documents").fill("good\nbad\nthe film")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".bars li")).to_have_count(3)


def test_what_is_wrong_is_said(page: Page) -> None:
    choose(page, "classifier")
    page.get_by_label("Text").fill("good " * 500)
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".error")).to_contain_text("tokens")


def test_measurements_move(page: Page, server: RunningServer) -> None:
    expect(page.locator("#status")).to_have_text("5 models ready")
    expect(page.locator("#loads tbody tr")).to_have_count(5)
    before = int(re.sub(r"\D", "", page.locator("#note-requests").text_content() or "") or 0)
    for _ in range(3):
        server.post("/embed", {"inputs": "good"})
    expect(page.locator("#note-requests")).not_to_have_text(f"{before} in all")
    expect(page.locator("#live-latency")).to_contain_text("ms")
    expect(page.locator("#chart-requests polyline")).to_have_count(1)


def test_a_key_is_asked_for(browser: Browser, head_folders: dict[str, Path]) -> None:
    settings = ServerSettings(api_keys=("secret",), load={"num_threads": 1}, reload_interval_s=0)
    with running({"classifier": head_folders["classifier"]}, settings) as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        expect(page.locator("#result")).to_have_text("This server needs an API key.")
        page.get_by_label("API key").fill("secret")
        page.get_by_label("API key").press("Enter")
        page.get_by_label("Text").fill("good film")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".bars li")).to_have_count(2)
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(browser: Browser, server: RunningServer, scheme: Any) -> None:
    opened = open_page(browser, server, color_scheme=scheme)
    page = next(opened)
    first = brightness(page)
    assert (first > 128) == (scheme == "light")
    page.get_by_role("button", name="Switch between light and dark").click()
    assert (brightness(page) > 128) != (first > 128)
    page.reload()
    assert (brightness(page) > 128) != (first > 128)
    next(opened, None)


def brightness(page: Page) -> float:
    color = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return sum(map(float, re.findall(r"[\d.]+", color)[:3])) / 3
