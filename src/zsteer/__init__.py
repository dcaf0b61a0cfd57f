"""Train, sample, steer and evaluate deep generative models."""
