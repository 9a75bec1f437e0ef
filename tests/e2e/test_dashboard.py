"""What a person does in front of the dashboard, in Debian's Chromium."""

import re

import pytest
from playwright.sync_api import expect, sync_playwright

from e2e.dashboard_browser import await_playing, go_to, log_in, open_browser, tunnel_from

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def playwright():
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(playwright, proof):
    browser = open_browser(playwright, proof)
    yield browser
    browser.close()


@pytest.fixture
def page(browser, proof):
    """A new browser profile at the hub, in English; it fails the test when a script or the policy complains."""
    context = browser.new_context(base_url=proof["hub_url"], locale="en-GB", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    page.goto("/")
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def guard(page, proof):
    """The page of a person who has logged in."""
    log_in(page, proof["username"], proof["password"])
    expect(page.get_by_test_id("site").first).to_be_visible()
    return page


def test_a_wrong_password_is_refused(page, proof):
    log_in(page, proof["username"], "wrong")
    expect(page.get_by_test_id("login-problem")).to_have_text("Wrong user name or password.")
    page.goto("/clips")
    expect(page.get_by_test_id("login")).to_be_visible()


def test_a_person_sees_every_site_camera_disk_and_router(guard, proof, screenshots):
    for site in proof["sites"]:
        expect(guard.locator(f"[data-site='{site}']")).to_be_visible()
    for name in proof["cameras"]:
        site, camera = name.split("/")
        expect(guard.locator(f"[data-site='{site}'] [data-camera='{camera}']")).to_be_visible()
    for node in proof["disks"]:
        expect(guard.locator(f"[data-node='{node}'] [role=meter]")).to_have_attribute(
            "aria-valuetext", re.compile(r"\d+%, .+ used")
        )
        expect(guard.locator(f"[data-node='{node}'] [data-testid=disk-figures]")).to_contain_text(
            re.compile(r"Growth is known after a day|recorded a day")
        )
        expect(guard.locator(f"[data-node='{node}'] [data-testid=disk-classes]")).to_contain_text("Other files")
    for router, ddns_name in proof["ddns_names"].items():
        expect(guard.locator(f"[data-router='{router}']")).to_contain_text(ddns_name)
    guard.screenshot(path=screenshots / "e2e-status.png", full_page=True)


def test_a_clip_of_each_site_plays(guard, proof, screenshots):
    for clip in proof["clips"]:
        go_to(guard, "clips")
        guard.get_by_test_id("clip-site").select_option(clip["site"])
        guard.get_by_test_id("clip-camera").select_option(clip["camera"])
        rows = guard.get_by_test_id("clip")
        expect(guard.locator(f"[data-testid=clip][data-site='{clip['site']}']").first).to_be_visible()
        for row in rows.all():
            expect(row).to_have_attribute("data-camera", clip["camera"])
        rows.first.click()
        assert await_playing(guard, 1.0) > 1.0
        expect(guard.get_by_test_id("download")).to_have_attribute("href", re.compile(r"^/api/v1/clips/\d+/video$"))
        guard.screenshot(path=screenshots / f"e2e-clip-{clip['site']}.png")


def test_a_clip_is_played_and_left_by_keyboard_alone(guard):
    go_to(guard, "clips")
    guard.get_by_test_id("clip").first.focus()
    if guard.get_by_test_id("clip").count() > 1:
        guard.keyboard.press("ArrowDown")
        expect(guard.get_by_test_id("clip").nth(1)).to_be_focused()
    guard.keyboard.press("Enter")
    await_playing(guard, 0.5)


def test_the_chosen_clip_survives_a_reload_by_its_address(guard):
    go_to(guard, "clips")
    guard.get_by_test_id("clip").first.click()
    await_playing(guard, 0.5)
    guard.reload()
    await_playing(guard, 0.5)


def test_a_log_line_of_every_device_is_found(guard, proof, screenshots):
    go_to(guard, "logs")
    guard.get_by_test_id("log-range").select_option("24h")
    guard.get_by_test_id("log-text").fill(proof["log_mark"])
    guard.get_by_test_id("log-search").click()
    lines = guard.get_by_test_id("log-line").filter(has=guard.locator("mark", has_text=proof["log_mark"]))
    for line in proof["log_lines"]:
        expect(lines.filter(has_text=line["host"]).first).to_be_visible()
    guard.screenshot(path=screenshots / "e2e-logs.png")


def test_a_search_without_a_match_says_so(guard):
    go_to(guard, "logs")
    guard.get_by_test_id("log-text").fill("no line says this")
    guard.get_by_test_id("log-search").click()
    expect(guard.get_by_test_id("empty")).to_contain_text("No log line matches")


def test_the_page_speaks_indonesian_and_goes_dark_and_remembers_both(guard, screenshots):
    guard.get_by_test_id("user-menu").click()
    guard.get_by_test_id("language").get_by_text("Indonesia").click()
    guard.get_by_test_id("theme").get_by_text("Gelap").click()
    guard.reload()
    expect(guard.get_by_test_id("nav-clips")).to_have_text("Rekaman")
    assert guard.locator("html").get_attribute("data-theme") == "dark"
    assert guard.locator("html").get_attribute("lang") == "id"
    expect(guard.get_by_test_id("site").first).to_be_visible()
    guard.screenshot(path=screenshots / "e2e-status-dark-id.png", full_page=True)


def test_every_page_fits_a_phone(guard, screenshots):
    guard.set_viewport_size(PHONE)
    for name, mark in {"status": "site", "clips": "clip", "logs": "log-count"}.items():
        go_to(guard, name)
        expect(guard.get_by_test_id(mark).first).to_be_visible()
        if name == "clips":
            guard.get_by_test_id("clip").first.click()
            await_playing(guard, 0.5)
        assert guard.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        guard.screenshot(path=screenshots / f"e2e-phone-{name}.png")


def test_data_that_grows_old_is_marked_and_comes_back_by_itself(guard):
    guard.route("**/api/v1/sites", lambda route: route.abort())
    guard.get_by_test_id("freshness").get_by_role("button").click()
    expect(guard.get_by_test_id("freshness")).to_contain_text("The hub cannot be reached")
    expect(guard.get_by_test_id("site").first).to_be_visible()
    guard.unroute("**/api/v1/sites")
    guard.get_by_test_id("freshness").get_by_role("button").click()
    expect(guard.get_by_test_id("freshness")).to_contain_text("Updated")


def test_logging_out_takes_the_cookie_away_and_shows_nothing_more(guard, proof):
    cookies = guard.context.cookies()
    assert cookies
    assert all(cookie["httpOnly"] and cookie["sameSite"] == "Strict" for cookie in cookies)
    if proof["hub_url"].startswith("https:"):
        assert all(cookie["secure"] for cookie in cookies)
    guard.get_by_test_id("user-menu").click()
    guard.get_by_test_id("log-out").click()
    expect(guard.get_by_test_id("login")).to_be_visible()
    assert guard.context.cookies() == []
    guard.goto("/status")
    expect(guard.get_by_test_id("login")).to_be_visible()
    expect(guard.get_by_test_id("site")).to_have_count(0)


def test_an_address_outside_the_allow_list_gets_a_clear_refusal_and_no_data(playwright, proof, screenshots):
    prefix = proof["hub_url"].removeprefix("https://").rsplit(".", 1)[0]
    with tunnel_from(f"{prefix}.2") as proxy:
        browser = open_browser(playwright, proof, proxy)
        page = browser.new_page(base_url=proof["hub_url"], locale="en-GB")
        page.goto("/status")
        expect(page.get_by_test_id("error")).to_contain_text("not on the list of allowed ones")
        log_in(page, proof["username"], proof["password"])
        expect(page.get_by_test_id("login-problem")).to_contain_text("not on the list of allowed ones")
        expect(page.get_by_test_id("site")).to_have_count(0)
        page.screenshot(path=screenshots / "e2e-refused.png")
        browser.close()
