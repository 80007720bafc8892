"""L0. Errors that cross module boundaries.

    SelfeditError       a user can mend it: one clear line, exit code 2, no traceback
      SettingError      a setting cannot be used; it names fields, which the command line shows as flags
      UnfitText         a text that this model's template or tokenizer cannot carry; the engine puts it into the record
                        of the one prompt or trial that has it, and the others go on
    InvalidEdit         a self-edit that cannot be studied; a task raises it, and the run records the reason

What fails within a run (a trial, a request to an endpoint) is no exception but a record: `records.Failed`.
"""

from __future__ import annotations


class SelfeditError(Exception):
    """An error that a user can mend: one clear line, exit code 2, no traceback."""


class Field(str):
    """The name of a setting in a message, e.g. `inner.epochs`; the command line shows it as a flag."""

    __slots__ = ()


class SettingError(SelfeditError):
    """A setting that cannot be used.

    Args:
        parts: the message in pieces; those that are a `Field` name settings.
    """

    def __init__(self, *parts: str) -> None:
        super().__init__("".join(parts))
        self.parts = parts

    def __reduce__(self) -> tuple[type[SettingError], tuple[str, ...]]:
        """Its pieces travel, not only what they say."""
        return type(self), self.parts

    def with_flags(self) -> str:
        """The message as the command line says it: fields as flags."""
        return "".join(flag(part) if isinstance(part, Field) else part for part in self.parts)

    def about(self, old: str, new: str) -> SettingError:
        """The same of another field: what is wrong with a model may be wrong with a writer."""
        return SettingError(*(Field(new) if isinstance(part, Field) and part == old else part for part in self.parts))


class UnfitText(SelfeditError):
    """A text that this model's chat template or tokenizer cannot carry; others may be fine."""


class InvalidEdit(Exception):
    """A self-edit that cannot be studied (empty, enormous, repeating itself); recorded with its reason."""


def flag(field: str) -> str:
    """A field's name on the command line: `inner.top_layers` → `--inner.top-layers`."""
    return "--" + field.replace("_", "-")
