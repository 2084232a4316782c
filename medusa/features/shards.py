"""A corpus cut into shards, the unit of work: what was finished stays, and settings are never mixed."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from medusa.errors import UserError
from medusa.features.parts import WHOLE, Part
from medusa.files import read_json, write_json

Value = TypeVar("Value")


def require_shards(folder: Path, suffix: str, count: int) -> None:
    """Refuse fewer shards than the manifest counts: a damaged one may count so many that nobody should look for each.

    Raises:
        UserError: some are missing, or there are none.
    """
    there = sum(1 for _ in folder.glob(f"shard-*{suffix}"))
    if not 0 < count <= there:
        raise UserError(
            f"{folder}: incomplete, {there} of {count} shards; run the same extract_features.py command again"
        )


class ShardWriter(ABC, Generic[Value]):
    """Writes one value per utterance, shard by shard, into a directory.

    A shard's name and content are functions of the sorted utterance list alone, so a resumed run, or
    several, write the same bytes. `manifest.json` is written first and never changes; a directory whose
    manifest says something else is refused. The caller holds the directory, see `medusa.features.parts.hold`.

    Args:
        path: The directory.
        identity: What makes the values what they are; must hold `shard_size`.
        utterances: The ids of the corpus, each once, in any order.
        part: Which of the shards this process computes.

    Raises:
        UserError: the directory holds something else; the differing key is named.
    """

    contents: ClassVar[str]
    remedy: ClassVar[str]

    def __init__(self, path: Path, identity: Mapping[str, Any], utterances: Sequence[str], part: Part = WHOLE) -> None:
        self.path = path
        ordered = sorted(utterances)
        size = int(identity["shard_size"])
        self.shards = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        self.part, self.own = part, part.indices(len(self.shards))
        self.manifest: dict[str, Any] = {
            **identity,
            "utterances": len(ordered),
            "utterances_sha256": hashlib.sha256("\n".join(ordered).encode()).hexdigest(),
            "shards": len(self.shards),
        }
        manifest = path / "manifest.json"
        if manifest.exists():
            self._refuse_other(read_json(manifest))
        else:
            write_json(manifest, self.manifest)

    @property
    def own_utterances(self) -> list[str]:
        """Ids in the shards of this process's part."""
        return [utterance for index in self.own for utterance in self.shards[index]]

    def left(self) -> int:
        """How many shards nobody has written yet."""
        return sum(not self.has(index) for index in range(len(self.shards)))

    @abstractmethod
    def has(self, index: int) -> bool:
        """Whether shard `index` has been written, with or without all of its utterances."""

    @abstractmethod
    def missing(self, index: int) -> list[str]:
        """Ids that shard `index` should hold and does not; all of them if it is not there or damaged."""

    @abstractmethod
    def storable(self, utterance: str, value: Value) -> Value:
        """The value as it will be written.

        Raises:
            UserError: it cannot be; names the utterance.
        """

    @abstractmethod
    def write(self, index: int, values: Mapping[str, Value]) -> None:
        """Write shard `index`, by utterance id; clips that could not be computed are left out."""

    def _refuse_other(self, found: Mapping[str, Any]) -> None:
        for key in [*self.manifest, *found]:
            there, now = found.get(key), self.manifest.get(key)
            if there != now:
                raise UserError(
                    f"{self.path}: holds {self.contents}: {key} is {there!r} there and {now!r} now; {self.remedy}"
                )
