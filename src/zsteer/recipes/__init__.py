"""Named experiments: one frozen class of settings each, one size dial, one ``build``."""
