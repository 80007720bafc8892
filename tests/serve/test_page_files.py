"""The files of the page: they ask nobody else for anything, and make text of no data but text."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2 as httpx

from selfedit.serve.page_routes import PAGE_PATHS
from tests.serve.conftest import Served

PAGE = Path(__file__).parents[2] / "src" / "selfedit" / "serve" / "page"
FILES = {path.name: path.read_text() for path in PAGE.iterdir()}


def test_each_file_is_served_under_a_strict_policy(shared: Served) -> None:
    assert {"index.html" if path == "/" else path[1:] for path in PAGE_PATHS} == set(FILES)
    for path in PAGE_PATHS:
        response = httpx.get(shared.url + path)
        assert response.status_code == 200 and response.text == FILES["index.html" if path == "/" else path[1:]]
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"


def test_nothing_is_loaded_from_elsewhere() -> None:
    for name, text in FILES.items():
        code = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
        found = re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]+[^\s'\"]*", code)
        assert [one for one in found if one != "http://www.w3.org/2000/svg"] == [], name


def test_no_data_becomes_markup_and_no_script_or_style_stands_in_the_page() -> None:
    for name in ("page.js", "parts.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", FILES[name])
    html = FILES["index.html"]
    assert re.findall(r"<script(?![^>]*src=)", html) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:", html) == []
