"""One server for every head: HTTP in, batches and continuous generation behind. Needs the ``[serve]`` extra."""
