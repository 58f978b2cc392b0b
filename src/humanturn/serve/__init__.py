"""A model behind the OpenAI chat-completions protocol, and in the terminal."""
