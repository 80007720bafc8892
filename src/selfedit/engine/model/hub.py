"""L1. The hub is asked once, for seconds, whether it has a model: a typo, or a hub out of reach, is told at once."""

from __future__ import annotations

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from selfedit.engine.model.folders import refusal

_SECONDS = 10


def is_only_cached(name: str) -> bool:
    """Whether `name` has to come from what an earlier download left: it is there, and the hub cannot be reached.

    Raises:
        SettingError: there is no such model, or none that could be had now.
    """
    try:
        HfApi().model_info(name, timeout=_SECONDS)
    except GatedRepoError:
        return False  # whether its files may be read, loading them tells
    except RepositoryNotFoundError as error:
        raise refusal(name, "no such folder, and no such model on the hub", "check the name") from error
    except HFValidationError as error:
        told = "is neither a folder nor a name that a model on the hub could have"
        raise refusal(name, told, "check the path") from error
    except HfHubHTTPError:
        return False
    except Exception as error:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return True
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        told = f"no such folder, and the hub cannot be reached ({reason})"
        raise refusal(name, told, "check the path, or the network") from error
    return False
