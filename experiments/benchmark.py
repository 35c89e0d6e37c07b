"""Speed as ratios measured in one run: against this machine's own products, and against peers.

    python experiments/benchmark.py --only=vae     or --only=gan, --only=attention, --only=lm

All rows are measured in rounds, in a random order each, so that a change of the machine's clock
meets them alike. The peers run in a process of their own where they are installed
(pip install -r requirements-peers.txt); it sleeps while JAX is measured, and the other way round.
What was measured is said, and lies in results.json of --workdir; the same command measures anew.
"""

from launch import launch

if __name__ == "__main__":
    launch("benchmark", __doc__)
