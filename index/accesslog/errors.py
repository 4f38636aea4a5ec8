"""What the access log cannot do. Each means: nothing may be answered.

LogError
├── LogInconsistent   what is stored is not what was signed; nothing more will be signed
└── LogNotBegun       appended outside a batch: a programming error
"""


class LogError(Exception):
    """Base of this package's failures."""


class LogInconsistent(LogError):
    """Rows, tree and last signed head contradict each other, as after a restored backup or tampering."""


class LogNotBegun(LogError):
    """`append`, `spend` or `flush` without `begin`."""
