"""Every parser that takes bytes from outside, each behind one function of bytes.

`targets.TARGETS` lists them; `seeds` makes the corpus; `campaign` runs atheris
on each (`make fuzz`); `test_replay` gives corpus and regressions to each in
`make test`, without atheris.
"""
