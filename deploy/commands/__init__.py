"""The parts of the `vlagwijzer` command, one module each. A command imports its process only when it runs."""
