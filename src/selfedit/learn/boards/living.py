"""L3. An agent lives in an environment: it acts, the environment says what came of it, and of falls it learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from selfedit.learn.boards.environments import Environment, Stepped
from selfedit.learn.boards.game import BoardGame, Signs
from selfedit.learn.boards.lake import LAKE
from selfedit.learn.boards.moves import Move, Situation, move_in, nearest
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


def live(
    agent: Actor, environment: Environment, board_seeds: Sequence[int], most_moves: int, game: BoardGame = LAKE
) -> Iterator[LivedMove]:
    """Games on these boards, one after another, with the signs of the game's first world. Of each fall the agent is
    told by the environment.

    Args:
        game: of which the environment is one.
    """
    signs = game.worlds[0]
    for seed in board_seeds:
        shown = environment.begin(seed)
        for _ in range(most_moves):
            situation = game.read(shown).disguised(signs, seed).situation(signs)
            episode = agent.act(game.request.format(sides=situation.sides))
            move = move_in(episode.action)
            if move is None:
                yield LivedMove(seed, episode, None)
                break
            stepped = environment.step(move)
            told = feedback_on(stepped, situation, move, game, signs)
            yield LivedMove(seed, episode, stepped, agent.observe(told, episode.id) if told else None)
            if stepped.is_over:
                break
            shown = stepped.board


def feedback_on(stepped: Stepped, situation: Situation, move: Move, game: BoardGame, signs: Signs) -> Feedback | None:
    """What an agent is told of a move that ended it all on some sign: the environment's words, what it was, and a
    move that does not lead onto the like. None where there is nothing to be learnt of it, or no other move.

    Args:
        situation: before the move.
    """
    sign = situation.seen[move]
    if not (stepped.is_over and not stepped.is_won) or not sign or sign not in (signs.fatal, signs.decoy):
        return None
    others = nearest({one: far for one, far in situation.far.items() if situation.seen[one] != sign})
    if not others:
        return None
    lesson = game.lesson(Signs(sign)).rstrip(".")
    said = f"{lesson}: {stepped.said.split('.')[0].split('!')[0]}."
    return Feedback.result(False, said, others[0], "environment")
