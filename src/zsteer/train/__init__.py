"""The only training loop, its run folder, and its data order."""
