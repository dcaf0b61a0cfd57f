"""What tables offer a user."""
