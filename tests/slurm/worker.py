"""Works for a number of steps of 0.1 seconds. A signal stops it; its next life goes on from the step that it saved."""

import signal
import sys
import time
from pathlib import Path

output, steps = Path(sys.argv[1]), int(sys.argv[2])
count = Path(f"{output.stem}.count")  # no declared output, as Snakemake would delete it
lives = Path(f"{output.stem}.lives")
stop: list[int] = []
for number in (signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, lambda number, _: stop.append(number))
lives.write_text(lives.read_text() + "+" if lives.exists() else "+")
done = int(count.read_text()) if count.exists() else 0
while done < steps:
    time.sleep(0.1)
    done += 1
    if stop:
        time.sleep(0.5)  # saving takes a while
        count.write_text(str(done))
        sys.exit(75)
output.write_text(f"{done} steps in {len(lives.read_text())} lives")
