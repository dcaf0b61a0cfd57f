"""Fuzzing: small valid files of every format that is read, mutants of them, and wrong command lines."""
