"""How far does a language model carry to a domain it never saw, and what moves the gap?

Trains language models on some domains and measures them on all: architecture, the number of
training domains at a fixed token budget, and finetuning are switches of an arm. Arms may start from
each other, so that a study is a graph of runs. On the default data, a grid of hidden Markov models,
the optimum is exact; text comes from a folder.

    python experiments/domains.py --flagfile=experiments/flags/domains_grid.flags
"""

from launch import launch

if __name__ == "__main__":
    launch("domains", __doc__)
