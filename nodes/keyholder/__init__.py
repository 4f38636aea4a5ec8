"""The key holder: one share of each key, and who may have it used how often.

Start with `evaluation` (the nine checks), then `store` (what survives a
restart). It learns which node asks how many evaluations in which scope and
when; never a person, a pseudonym or a flag. It keeps and logs no elements.
"""
