"""Pages for citizens: who may see what, what is known, who looked."""
