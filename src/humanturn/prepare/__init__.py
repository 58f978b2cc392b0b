"""Raw corpora in, clean segments of human-assistant conversations out."""
