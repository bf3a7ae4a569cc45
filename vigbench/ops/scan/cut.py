"""How a scan is cut into pieces that are computed side by side: a rule of the sizes alone, nothing is tried."""

from typing import NamedTuple

LANE_CHANNELS = 16  # of a program: in half precision they fill a sector of memory
ENOUGH = 512  # programs: about one for each scheduler of a large GPU, and states need no pass of their own
FILLED = 1536  # programs that a large GPU runs at the same time
SHORTEST = 64  # tokens of a segment, below which a start takes longer than the walk


class Cut(NamedTuple):
    """A direction is `phases` times `segments` pieces of `tokens` tokens or less.

    With two directions there are two phases, which are launched one after the other: at first each direction takes the
    half that it meets first, then the other half, to whose outputs it adds. So no token is written by both at once.
    """

    phases: int
    segments: int
    tokens: int

    @property
    def segmented(self) -> bool:
        """Whether pieces of a phase run side by side, each from a state that has to be known before."""
        return self.segments > 1


def cut_of(directions: int, batch: int, length: int, dim: int) -> Cut:
    """Whole halves where sequences and channels fill a GPU, segments of them where they do not."""
    half = -(-length // directions)
    programs = -(-dim // LANE_CHANNELS) * directions * max(1, batch)
    wanted = 1 if programs >= ENOUGH else -(-FILLED // programs)
    tokens = -(-half // max(1, min(wanted, half // SHORTEST)))
    return Cut(directions, -(-half // tokens), tokens)
