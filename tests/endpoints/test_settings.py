"""An endpoint's settings: what cannot work, or would give a secret away, is refused before anything is sent."""

from __future__ import annotations

import pytest

from selfedit.endpoints import EndpointSettings
from selfedit.endpoints.settings import read_key
from selfedit.errors import SelfeditError

KEY = "sk-secret-0123456789-abcdef"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SELFEDIT_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://host/v1",
        "file:///etc/passwd",
        "http://",
        "http:///v1",
        "http://[::1/v1",
        "http://host:port/v1",
        "http://host:99999/v1",
        "http://ho st/v1",
        "http://host\n/v1",
        "http://127.0.0.1\\.example.com/v1",
        "http://hôst/v1",
    ],
)
def test_what_is_no_http_url_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(SelfeditError, match=r"^judge[^\n]*: [^\n]+$"):
        EndpointSettings(url, "m")


@pytest.mark.parametrize(
    "url",
    [f"https://{KEY}@host/v1", f"https://user:{KEY}@host/v1", f"https://host/v1?key={KEY}", f"https://h/v1#{KEY}"],
)
def test_a_url_that_holds_a_secret_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SelfeditError, match=r"^writer: the URL holds") as refusal:
        EndpointSettings(url, "m", field="writer")
    assert KEY not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-06-01",
        "https://h/v1?api-version=1",
    ],
)
def test_a_url_of_azures_older_kind_is_refused_with_the_one_to_give(url: str) -> None:
    with pytest.raises(SelfeditError, match=r"query[^\n]+openai\.azure\.com/openai/v1"):
        EndpointSettings(url, "m")


@pytest.mark.parametrize("more", ["", "/", "/chat/completions", "/chat/completions/"])
def test_a_url_may_be_that_of_the_requests_themselves(more: str) -> None:
    assert EndpointSettings(f" http://localhost:8000/v1{more} ", "m").url == "http://localhost:8000/v1"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model": " "}, "judge_model is empty"),
        ({"concurrency": 0}, "at least 1 request at once"),
        ({"timeout_seconds": 0.0}, "time limit"),
        ({"timeout_seconds": float("nan")}, "time limit"),
        ({"retries": -1}, "at least 0 retries"),
        ({"price_in": 1.0}, "judge_prices: give both"),
        ({"price_in": 1.0, "price_out": -1.0}, "judge_prices must be at least 0"),
    ],
)
def test_a_value_that_cannot_work_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(SelfeditError, match=said):
        EndpointSettings("http://localhost/v1", **{"model": "m", **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "key"),
    [
        ({}, ""),
        ({"OPENAI_API_KEY": f" {KEY}\n"}, KEY),
        ({"SELFEDIT_API_KEY": "mine", "OPENAI_API_KEY": KEY}, "mine"),
        ({"SELFEDIT_API_KEY": "", "OPENAI_API_KEY": KEY}, ""),
    ],
)
def test_the_key_comes_from_the_first_name_that_is_set(
    monkeypatch: pytest.MonkeyPatch, names: dict[str, str], key: str
) -> None:
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert read_key(EndpointSettings("https://host/v1", "m")) == key


@pytest.mark.parametrize(
    "url", ["http://localhost:1/v1", "http://127.9.9.9/v1", "http://[::1]:8/v1", "https://host/v1"]
)
def test_a_key_may_go_over_https_or_stay_on_this_machine(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert read_key(EndpointSettings(url, "m")) == KEY


@pytest.mark.parametrize(
    "url", ["http://host/v1", "http://localhost.example.com/v1", "http://0.0.0.0/v1", "http://10.0.0.1/v1"]
)
def test_a_key_is_not_sent_over_plain_http_to_another_machine(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    settings = EndpointSettings(url, "m")
    assert read_key(settings) == ""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(SelfeditError, match=r"^judge http://[^\n]+OPENAI_API_KEY is not sent over plain http") as no:
        read_key(settings)
    assert KEY not in str(no.value)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_key_in_quotes_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch, quote: str) -> None:
    monkeypatch.setenv("SELFEDIT_API_KEY", f"{quote}{KEY}{quote}")
    with pytest.raises(SelfeditError, match=r"^SELFEDIT_API_KEY: stands in quotes") as refusal:
        read_key(EndpointSettings("https://host/v1", "m"))
    assert "sk-" not in str(refusal.value)


@pytest.mark.parametrize("key", ["sk-half\nand-half", "Bearer sk-whole", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("SELFEDIT_API_KEY", key)
    with pytest.raises(SelfeditError, match=r"^SELFEDIT_API_KEY: holds a character") as refusal:
        read_key(EndpointSettings("https://host/v1", "m"))
    assert key not in str(refusal.value)
