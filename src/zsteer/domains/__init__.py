"""What the lecture's systems work on: one folder for each kind of thing, each with all that is known about it."""
