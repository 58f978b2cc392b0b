"""humanturn trains, measures and runs language models of the human side of a conversation."""

__version__ = "0.1.0"
