"""Each workload measures one thing for every peer that can do it; ``run(choices)`` returns the record."""
