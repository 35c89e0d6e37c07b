"""When is O(n^2) visible, what do sparse, low-rank and linear attention save, what do they lose?

Sweeps the length for every variant, forward and backward, interleaved over rounds; fits the
exponents of time and memory; probes what each approximation loses against the exact result; and
ends in tables, log-log pictures and claims (genjax/scaling/claims.py):

    python experiments/attention.py --flagfile=experiments/flags/attention_cpu.flags
"""

from launch import launch

if __name__ == "__main__":
    launch("scaling", __doc__)
