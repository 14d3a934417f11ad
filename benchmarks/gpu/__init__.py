"""``python -m headway.benchmarks.gpu``: what only a GPU can show, checked and measured in one run."""
