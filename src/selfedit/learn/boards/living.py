"""L3. An agent lives in an environment: it acts, the environment says what came of it, and of falls it learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from selfedit.learn.boards.environments import Environment, Stepped
from selfedit.learn.boards.lake import LakeBoard, read_lake
from selfedit.learn.boards.moves import MOVES, Move, distances, move_in, nearest
from selfedit.records import Episode, Feedback, Observation


class Actor(Protocol):
    """An agent: `selfedit.Agent`, or its session."""

    def act(self, request: str) -> Episode:
        """What it does about a request."""
        ...

    def observe(self, feedback: Feedback, episode_id: str = "") -> Observation:
        """Learns from what is said about an episode."""
        ...


@dataclass(frozen=True, slots=True)
class LivedMove:
    """One move, and what came of it."""

    seed: int
    """Of the board."""
    episode: Episode
    """What the agent was shown, and what it said."""
    stepped: Stepped | None
    """What the environment made of it; None: what was said is no move, and the game is given up."""
    observed: Observation | None = None
    """What became of what the environment said; None where it said nothing to learn."""


def live(agent: Actor, game: Environment, board_seeds: Sequence[int], most_moves: int) -> Iterator[LivedMove]:
    """Games on these boards, one after another. Of each fall the agent is told by the environment."""
    for seed in board_seeds:
        lake = read_lake(game.begin(seed))
        for _ in range(most_moves):
            episode = agent.act(request_of(lake))
            move = move_in(episode.action)
            if move is None:
                yield LivedMove(seed, episode, None)
                break
            stepped = game.step(move)
            told = feedback_on(stepped, lake, move)
            yield LivedMove(seed, episode, stepped, agent.observe(told, episode.id) if told else None)
            if stepped.is_over:
                break
            lake = read_lake(stepped.board)


def request_of(lake: LakeBoard) -> str:
    """A board as an agent is asked about it."""
    return f"You are on a frozen lake. {lake.sides()} Which way? Say up, down, left or right."


def feedback_on(stepped: Stepped, lake: LakeBoard, move: Move) -> Feedback | None:
    """What an agent is told of a move that ended it all on some sign: the environment's words, what it stood on, and a
    move that does not lead onto the like. None where there is nothing to be learnt of it, or no other move.

    Args:
        lake: before the move.
    """
    sign = lake.seen(move)
    if not (stepped.is_over and not stepped.is_won) or sign in ("edge", "ice", "goal"):
        return None
    others = [one for one in MOVES if lake.seen(one) not in ("edge", sign)]
    far = distances(lake.goal, lake.holds)
    if not others:
        return None
    said = f"Never step on {sign}: {stepped.said.split('.')[0].split('!')[0]}."
    return Feedback.result(False, said, nearest(lake.player, far, others)[0], "environment")
