"""Noise: q(x_t given x_0), the prior at the far end, and one step of the way back."""
