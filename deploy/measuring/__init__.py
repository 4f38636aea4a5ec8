"""What `vlagwijzer bench` measures with: a hub of its own, a load generator, and a reference beside it.

    hub        keys, documents, rows and tickets of an invented federation; served in a process of its own
    load       signed requests over loopback, a fixed number in flight, answers checked
    reference  `pgbench` on the same server in the same run: five rows read by key, one written
    figures    medians of interleaved rounds, and the line that is printed

Nothing here is a person: identities are random bytes.
"""
