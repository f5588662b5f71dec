"""The page in a real browser without a window: it sorts and filters, and its console stays silent."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from art_gym.agents.benchmark.page import write_page
from art_gym.agents.benchmark.results import Line

CHROMIUM = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
# (algorithm, kind, task, solver, K): score and calls
RUNS = {
    ("slow", "RL", "digits", "euler", 5): (0.9, 9000),
    ("slow", "RL", "ring_2d", "dpmpp_2m", 10): (0.7, 9000),
    ("quick", "probe", "digits", "euler", 5): (0.5, 10),
    ("quick", "probe", "ring_2d", "dpmpp_2m", 10): (0.8, 20),
    ("none", "hand-made", "digits", "euler", 5): (-0.25, 0),
    ("whole", "gradient", "digits", "sampler", 5): (1.0, 500),
}
SCRIPT = """
const rows = (id) => [...document.querySelectorAll(`#${id} tbody tr`)].map(
  (row) => [...row.cells].map((cell) => cell.textContent));
const click = (id, name) => document.querySelector(`#${id} th[data-name=${name}] button`).click();
const choose = (name, value) => {
  const select = document.getElementById(`filter-${name}`);
  select.value = value;
  select.dispatchEvent(new Event("change"));
};
const seen = {};
seen.first = rows("methods");
click("methods", "score");
seen.reversed = rows("methods");
click("methods", "calls");
seen.by_calls = rows("methods");
click("methods", "method");
seen.by_name = rows("methods");
click("cells", "K");
click("cells", "K");
seen.cells_by_k = rows("cells");
for (const [name, value] of [["task", "ring_2d"], ["solver", "euler"], ["K", "10"], ["kind", "RL"]]) {
  choose(name, value);
  seen[name] = rows("methods");
  choose(name, "");
}
choose("actions", "sampler");
seen.samplers = rows("methods");
choose("actions", "");
seen.all = rows("methods");
const result = document.createElement("pre");
result.id = "result";
result.textContent = JSON.stringify(seen);
document.body.append(result);
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    lines = []
    for (algorithm, kind, task, solver, k), (score, calls) in RUNS.items():
        actions = "sampler" if solver == "sampler" else "grid"
        for seed, moved in enumerate((score - 0.01, score, score + 0.01)):
            where = ("v1", algorithm, kind, actions, task, solver, k, seed)
            lines.append(Line(*where, "c", 0, calls, 0.125, moved, 0.5, "h"))
    write_page("v1", lines, tmp_path / "leaderboard.html")
    return tmp_path / "leaderboard.html"


def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={page.parent / 'profile'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--no-sandbox")  # which root cannot have
    return subprocess.run(
        [*command, "--enable-logging=stderr", *options, page.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip


def seen_by(page: Path) -> tuple[dict[str, Any], list[str]]:
    """What the script saw, and the messages of the console."""
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text().replace("</body>", f"<script>{SCRIPT}</script></body>"))
    done = browse(probed, "--dump-dom")
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(found[1]), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@needs_browser
@pytest.mark.slow
def test_sort_and_filter(page: Path) -> None:
    seen, console = seen_by(page)
    assert console == []

    def names(key: str) -> list[str]:
        return [row[0] for row in seen[key]]

    assert names("first") == ["slow", "quick", "none"]  # grids by score: 0.8, 0.65, −0.25
    assert [row[2] for row in seen["first"]] == ["0.800", "0.650", "-0.250"]
    assert names("reversed") == ["none", "quick", "slow"]
    assert names("by_calls") == ["none", "quick", "slow"]
    assert names("by_name") == ["none", "quick", "slow"]
    assert [row[4] for row in seen["cells_by_k"]] == ["10", "10", "5", "5", "5"]
    assert names("task") == ["quick", "slow"]
    assert names("solver") == ["none", "quick", "slow"]
    assert names("K") == ["quick", "slow"]
    assert names("kind") == ["slow"]
    assert names("samplers") == ["whole"]
    assert names("all") == ["none", "quick", "slow", "whole"]


@needs_browser
@pytest.mark.slow
def test_a_broken_page_is_noticed(page: Path) -> None:
    """The test above can fail: an error in the script reaches the console's messages."""
    page.write_text(page.read_text().replace("</body>", '<script>console.error("broken")</script></body>'))
    assert any("broken" in line for line in seen_by(page)[1])


def test_nothing_comes_from_elsewhere(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"https?://", text)
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["data:,"]


def test_no_text_of_a_line_ends_the_script(tmp_path: Path) -> None:
    line = Line("v1", "</script><b>", "RL", "grid", "digits", "euler", 5, 0, "c", 0, 0, 0.1, 0.5, 1.0, "h")
    write_page("v1", [line], tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count("</script>") == 1
