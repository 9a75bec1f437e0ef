"""A clip in a real browser while it is still being written."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from cllmh_node.clips.writer import ClipWriter
from e2e.dashboard_browser import CHROMIUM, await_playing
from served_folder import served
from unit.node.scenes import BEGINS_AT, FPS, Camera, encode, play

SECONDS = 12
UNWRITTEN_S = 1.2  # the fragment that grows, and the frame that ends it


def play_until(page: Page, url: str, seconds: float) -> None:
    """Play a clip from its beginning until its own clock shows so many seconds."""
    page.set_content(f'<video data-testid="video" src="{url}" muted></video>')
    page.get_by_test_id("video").evaluate("video => { video.playbackRate = 4; return video.play() }")
    await_playing(page, seconds)
    assert page.get_by_test_id("video").evaluate("video => video.videoWidth") > 0


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Debian's chromium is not installed here")
def test_a_browser_plays_a_clip_while_it_is_written_and_when_it_is_closed(tmp_path: Path) -> None:
    camera = Camera(encode(tmp_path / "scene.mp4", play(SECONDS)))
    frames = list(camera.frames())
    writer = ClipWriter(tmp_path, "gate", camera.info, BEGINS_AT)
    with served(tmp_path) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(30_000)
        url = f"{address}/{writer.path}"
        written = 0
        for until_s in (4, 9):
            for frame in frames[written : until_s * FPS]:
                writer.write(frame)
            written = until_s * FPS
            play_until(page, f"{url}?{until_s}", until_s - UNWRITTEN_S)
        for frame in frames[written:]:
            writer.write(frame)
        writer.close()
        play_until(page, f"{url}?closed", SECONDS - 0.2)
        browser.close()
