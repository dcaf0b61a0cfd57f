"""From a generator and a goal to better samples: guide, edit, search."""
