"""MEDUSA: multimodal deep-fusion speech emotion recognition, from recordings to a model soup.

    from medusa import Medusa
    Medusa.from_pretrained("bundle").predict(["recording.wav"])

Importing this package loads neither torch nor transformers; what is asked for is loaded then. Everything else is
imported from its room (`medusa.models.deepser`, `medusa.features.store`, ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medusa.app.model import Medusa

__all__ = ["Medusa"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "Medusa":
        from medusa.app.model import Medusa

        return Medusa
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
