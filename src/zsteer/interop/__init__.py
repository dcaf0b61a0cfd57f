"""Files of other packages: their models as ours and ours as theirs, one module for each, none of them imported."""
