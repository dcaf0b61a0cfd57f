"""The command line: parse, one call of ``zsteer.api``, print a report."""
