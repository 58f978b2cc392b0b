"""What conversations are worth in numbers, and how human a user model is."""
