"""Formats of conversation data on disk: detected by content, read as streams, written on request."""

from humanturn.formats.read import read, read_conversations
from humanturn.formats.write import Format, convert, write

__all__ = ["Format", "convert", "read", "read_conversations", "write"]
