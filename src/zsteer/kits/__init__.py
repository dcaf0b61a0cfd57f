"""What a domain offers a user: read, write, sample, steer, evaluate."""
