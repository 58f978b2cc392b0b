"""Train the user model or the assistant: the loss counts on the turns of one role only."""
