"""MEDUSA: multimodal deep-fusion speech emotion recognition, from recordings to a model soup.

Importing this package loads neither torch nor transformers; import the room you need
(`medusa.models.deepser`, `medusa.features.store`, ...).
"""

__version__ = "0.1.0"
