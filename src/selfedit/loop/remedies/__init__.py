"""L3. Remedies against forgetting, by the name that `--remedy` has for them; in this order they change an update."""

from selfedit.loop.chains import Remedy
from selfedit.loop.remedies.distil import DISTIL
from selfedit.loop.remedies.gate import GATE
from selfedit.loop.remedies.kl import KL
from selfedit.loop.remedies.null_space import NULL_SPACE
from selfedit.loop.remedies.orthogonal import ORTHOGONAL
from selfedit.loop.remedies.replay import REPLAY
from selfedit.loop.remedies.reward_shaping import REWARD_SHAPING
from selfedit.loop.remedies.route import ROUTE, by_oracle
from selfedit.loop.remedies.self_replay import SELF_REPLAY

NONE = Remedy("none", "every update merged, as published", is_alone=True)
REMEDIES = {
    remedy.name: remedy
    for remedy in (
        NONE,
        DISTIL,
        REPLAY,
        SELF_REPLAY,
        KL,
        NULL_SPACE,
        ORTHOGONAL,
        REWARD_SHAPING,
        GATE,
        ROUTE,
    )
}

__all__ = ["REMEDIES", "by_oracle"]
