"""The subcommands of ``headway`` that run artifacts, one module each, and what they share."""
