import asyncio, sys, tempfile, time
from pathlib import Path
from .processes import Zygote, postgres
from .hubs import Ground
from . import scenarios
def main():
    what=sys.argv[1]; bug=sys.argv[2] if len(sys.argv)>2 else ""
    root=Path(tempfile.mkdtemp())
    with Zygote() as z:
        t=time.time()
        if what=="kills": o=asyncio.run(scenarios.kills(z,Ground(root),seed=1,count=5,bug=bug))
        if what=="steady": o=asyncio.run(scenarios.steady(z,Ground(root),seed=1,seconds=2,bug=bug))
        if what=="cuts": o=asyncio.run(scenarios.cuts(z,Ground(root),seed=1,seconds=2,bug=bug))
        if what=="pauses": o=asyncio.run(scenarios.pauses(z,Ground(root),seed=1,count=6,bug=bug))
        if what=="disk": o=asyncio.run(scenarios.disk_full(z,root/"d",seed=1,rounds=2))
        if what.startswith("pg"):
            with postgres(root/"pg") as s:
                g=Ground(root/"g",s.database())
                if what=="pgcrash": o=asyncio.run(scenarios.database_crashes(z,g,s,seed=1,count=2))
                if what=="pgkills": o=asyncio.run(scenarios.kills(z,g,seed=1,count=5,bug=bug))
                if what=="pgpauses": o=asyncio.run(scenarios.pauses(z,g,seed=1,count=6,bug=bug))
                if what=="pgsteady": o=asyncio.run(scenarios.steady(z,g,seed=1,seconds=2,bug=bug))
        print(what,bug,o.verdict,o.figures,round(time.time()-t,1))
main()
