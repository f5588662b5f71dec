"""Bring into the site what lies elsewhere in the repository: results, the changelog, tutorials as pages.

Pages link to such files by their paths in the repository, so that the links work where people read the sources.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jupytext
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RESULTS = "benchmarks/results"
TUTORIALS = {"better_schedule": "tutorials/better_schedule.md", "own_agent": "tutorials/own_agent.md"}


def on_files(files: Files, config: Any) -> Files:
    """Add pictures, tables and pages."""
    for path in sorted((ROOT / RESULTS).rglob("*")):
        if path.suffix in (".png", ".md", ".html"):
            files.append(_added(f"records/{path.relative_to(ROOT / RESULTS)}", path, config))
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        files.append(_added(name, ROOT / name, config))
    for name, page in TUTORIALS.items():
        notebook = jupytext.read(ROOT / "examples" / f"{name}.py")
        files.append(File.generated(config, page, content=jupytext.writes(notebook, "md")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links to files outside the docs at where they are in the site."""
    up = "../" * page.file.src_uri.count("/")
    markdown = re.sub(r"\]\((?:\.\./)+" + RESULTS + "/", f"]({up}records/", markdown)
    markdown = re.sub(r"\]\(docs/", f"]({up}", markdown)
    return re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.DOTALL)  # jupytext's header


def _added(uri: str, path: Path, config: Any) -> File:
    return File.generated(config, uri, abs_src_path=str(path))
