"""The suite on other releases of torch and Python: ``python -m tests.releases``."""
