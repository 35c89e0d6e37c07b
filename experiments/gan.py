"""Which modes does a GAN lose, and which remedy keeps them?

Trains one or several recipes ("arms") that differ in the switches named, all seeds of an arm as one
program, watches the modes of a known distribution along training, and ends in one table beside the
floor (perfect samples through the same measures) and in claims (genjax/gan/claims.py):

    python experiments/gan.py --flagfile=experiments/flags/gan_ring.flags
"""

from launch import launch

if __name__ == "__main__":
    launch("gan", __doc__)
