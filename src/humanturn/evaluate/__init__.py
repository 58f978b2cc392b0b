"""What an assistant is worth: benchmark questions, answers, judges, scores."""
