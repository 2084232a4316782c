"""One of several workers on the same corpus: `shard=2/4` does the second of every four shards.

Parts know nothing of each other but what is on disk: shards are functions of the utterance list, so together they are
what one run would have written, and nothing is put together afterwards but the lists of what failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from medusa.errors import UserError
from medusa.files import lock, lock_part

KEY = "shard="
"""Not a key of the config: who does the work changes nothing of what comes out."""

Alone = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Part:
    """Part `number`, from 1, of `count`."""

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def whole(self) -> bool:
        """Whether there is no other part."""
        return self.count == 1

    def indices(self, shards: int) -> range:
        """Numbers of this part's shards, from 0."""
        return range(self.number - 1, shards, self.count)


WHOLE = Part()


def split_words(words: Sequence[str]) -> tuple[Part, list[str]]:
    """Take `shard=i/n` out of a script's `key=value` words; the last one counts.

    Raises:
        UserError: it is not of that form, or i is not 1 … n.
    """
    own = [word for word in words if word.startswith(KEY)]
    if not own:
        return WHOLE, list(words)
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", own[-1].removeprefix(KEY))
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UserError(f"{own[-1]!r}: expected {KEY}i/n, i from 1 to n, for example {KEY}1/4 to {KEY}4/4")
    return Part(int(found[1]), int(found[2])), [word for word in words if word not in own]


@contextmanager
def hold(directory: Path, part: Part, purpose: str) -> Iterator[Alone]:
    """Hold a directory, alone or for one part beside others.

    Yields:
        What to do under `with` while writing files that all parts share: then no other part does.

    Raises:
        UserError: somebody works on all of it, on the same part, or, for the whole, on any part.
    """
    if part.whole:
        with lock(directory, purpose):
            yield nullcontext
    else:
        with lock_part(directory, f"{part.number}-of-{part.count}", purpose) as alone:
            yield alone
