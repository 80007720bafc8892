"""L3. A public environment: whether what was learnt of falls in a game on a board is in the weights."""

from selfedit.learn.boards.environments import Environment, Stepped
from selfedit.learn.boards.experiment import ArmResult, Boards, BoardsPlan, PlayedGame, PosedMove
from selfedit.learn.boards.game import Board, BoardGame, Signs
from selfedit.learn.boards.lake import LAKE, FrozenLake
from selfedit.learn.boards.living import LivedMove, live
from selfedit.learn.boards.sokoban import SOKOBAN, Sokoban

GAMES = {game.name: game for game in (LAKE, SOKOBAN)}

__all__ = [
    "GAMES",
    "LAKE",
    "SOKOBAN",
    "ArmResult",
    "Board",
    "BoardGame",
    "Boards",
    "BoardsPlan",
    "Environment",
    "FrozenLake",
    "LivedMove",
    "PlayedGame",
    "PosedMove",
    "Signs",
    "Sokoban",
    "Stepped",
    "live",
]
