"""A user talks with an assistant until the user's side ends the conversation."""
