"""L0. Which endpoint is used and how hard; and the key, which is read from the environment and kept out of records.

The URL and the model are part of what a run is, so they may be written down. A URL that carries a secret (a password,
a query) is therefore refused, and refused without being shown.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from selfedit.errors import Field, SettingError

KEY_NAMES = ("SELFEDIT_API_KEY", "OPENAI_API_KEY")
"""Where a key is looked for; the first that is set counts, and set but empty means that no key is sent."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """An endpoint, and how it is used."""

    url: str
    """Base URL, e.g. `http://localhost:8000/v1`; requests go to `chat/completions` below it."""
    model: str
    """The model's name there."""
    concurrency: int = 16
    """Most requests at once."""
    timeout_seconds: float = 120.0
    """How long one request may take, from connecting to the end of the reply."""
    retries: int = 5
    """How often a request is repeated after 429, 5xx, a timeout or a lost connection."""
    price_in: float | None = None
    """Price of a million tokens read; None: unknown."""
    price_out: float | None = None
    """Price of a million tokens written; None: unknown."""
    field: str = "judge"
    """The setting that holds the URL; complaints begin with it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", base_url(self.url))
        split_url(self.url, self.field)
        _require(bool(self.model.strip()), Field(f"{self.field}_model"), " is empty; name the endpoint's model")
        _require(self.concurrency >= 1, Field(self.field), f": at least 1 request at once, not {self.concurrency}")
        _require(
            0 < self.timeout_seconds < float("inf"), Field(self.field), ": the time limit must be above 0 and finite"
        )
        _require(self.retries >= 0, Field(self.field), f": at least 0 retries, not {self.retries}")
        prices = [price for price in (self.price_in, self.price_out) if price is not None]
        _require(
            len(prices) != 1, Field(f"{self.field}_prices"), ": give both, for tokens read and written, or neither"
        )
        _require(
            all(0 <= price < float("inf") for price in prices),
            Field(f"{self.field}_prices"),
            " must be at least 0 and finite",
        )


def base_url(url: str) -> str:
    """The URL below which requests go to `chat/completions`, also where somebody gives that whole."""
    return url.strip().rstrip("/").removesuffix("/chat/completions").rstrip("/")


def split_url(url: str, field: str) -> SplitResult:
    """The parts of an http(s) URL that holds no secret and that every reader reads alike; SelfeditError otherwise."""
    _require(
        url.isascii() and url.isprintable() and not any(letter in url for letter in " \\"),
        Field(field),
        ": the URL holds a character that URLs do not have",
    )
    try:
        parts = urlsplit(url)
        is_complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise SettingError(Field(field), ": not a URL; give one such as http://localhost:8000/v1") from None
    _require(
        "@" not in parts.netloc,
        Field(field),
        f": the URL holds a user name or password; put the key into {KEY_NAMES[0]}",
    )
    azure = (
        " (Azure has a URL without one: https://NAME.openai.azure.com/openai/v1)"
        if "azure" in url.lower() or ("api-version" in url)
        else ""
    )
    _require(
        "?" not in url and "#" not in url,
        Field(field),
        f": the URL holds a query or fragment; leave out what follows{azure}",
    )
    _require(is_complete, Field(field), f" {url}: not an http(s) URL; give one such as http://localhost:8000/v1")
    return parts


def is_loopback(parts: SplitResult) -> bool:
    """Whether the host is this machine, so that nothing crosses a network."""
    host = parts.hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_key(settings: EndpointSettings) -> str:
    """The key for this endpoint, empty for none.

    Raises:
        SelfeditError: a key that no header can carry, or that would cross a network unencrypted.
    """
    name = next((name for name in KEY_NAMES if name in os.environ), "")
    key = os.environ.get(name, "").strip()
    _require(all("!" <= letter <= "~" for letter in key), f"{name}: holds a character that no key has; set it anew")
    _require(not key.startswith(("'", '"')), f"{name}: stands in quotes; set it anew without them")
    parts = split_url(settings.url, settings.field)
    _require(
        not key or parts.scheme == "https" or is_loopback(parts),
        Field(settings.field),
        f" {settings.url}: the key in {name} is not sent over plain http to another machine; "
        f"use https, or set {KEY_NAMES[0]} to nothing so that no key is sent",
    )
    return key


def _require(is_met: bool, *otherwise: str) -> None:
    if not is_met:
        raise SettingError(*otherwise)
