"""L3. A public environment: whether what was learnt of falls on a frozen lake is in the weights."""

from selfedit.learn.boards.environments import Environment, FrozenLake, Stepped
from selfedit.learn.boards.experiment import ArmResult, Boards, BoardsPlan, PlayedGame, PosedMove
from selfedit.learn.boards.lake import Signs, read_lake
from selfedit.learn.boards.living import LivedMove, live
from selfedit.learn.boards.teaching import DEV_WORLDS, WORLDS

__all__ = [
    "DEV_WORLDS",
    "WORLDS",
    "ArmResult",
    "Boards",
    "BoardsPlan",
    "Environment",
    "FrozenLake",
    "LivedMove",
    "PlayedGame",
    "PosedMove",
    "Signs",
    "Stepped",
    "live",
    "read_lake",
]
