"""Steps of a person in the page of `toolbox serve`, with Playwright."""

from __future__ import annotations

from contextlib import contextmanager

from standins import gray

from toolbox.imaging import io


def watch(page, service):
    """Collect errors of the page and requests to other addresses."""
    problems = []
    own = f"http://127.0.0.1:{service.port}/"
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith((own, f"blob:{own}")) else problems.append(r.url))
    return problems


def wait_for_text(page, selector, text):
    page.locator(selector, has_text=text).wait_for()


def wait_for_marks(page):
    """Wait until the line of facts no longer says that nothing is marked."""
    page.locator("#facts", has_not_text="nothing marked").wait_for()


def wait_until_ready(page):
    page.wait_for_selector("body[data-ready]")


def open_photo(page, path, name=None):
    page.set_input_files("#files", str(path))
    wait_for_text(page, "#facts", name or path.name)


def photo(tmp_path, name="old.png"):
    io.write_png(tmp_path / name, gray(96, 128))
    return tmp_path / name


def drag(page, points):
    box = page.locator("#stage").bounding_box()
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


@contextmanager
def delayed(page, end):
    """Send no request whose path has this end before the block ends; yield what waits until there is one."""
    page.evaluate(
        """(end) => {
            const { fetch } = window;
            const waiting = [];
            window.fetch = async (path, options) => {
                if (path.endsWith(end)) await new Promise((resolve) => { waiting.push(resolve); });
                return fetch(path, options);
            };
            window.delays = { ...window.delays, [end]: { fetch, waiting } };
        }""",
        end,
    )
    yield lambda: page.wait_for_function("(end) => window.delays[end].waiting.length", arg=end)
    page.evaluate(
        """(end) => {
            window.fetch = window.delays[end].fetch;
            for (const send of window.delays[end].waiting) send();
        }""",
        end,
    )
