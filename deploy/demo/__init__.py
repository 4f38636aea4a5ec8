"""A whole federation on one machine, with invented people: `vlagwijzer demo`.

    plan (who takes part) -> citizens (whom it is about) -> papers (keys, manifest, directory, settings)
    -> launcher (a process each) -> feed (extracts and choices, through the real ways in) -> what to click

Start at `launcher`. Everything runs at one party here, so every screen and
`/health` say `trustSeparation: none`; a dealer makes the keys and `/health`
says that too.
"""
