#!/usr/bin/env bash
# One run on the GPUs of one or more nodes, a process a GPU; from the root of the repository:
#   sbatch --nodes=2 experiments/slurm.sh domains --flagfile=domains_grid
# Not tried on a cluster so far. The folder of the run must be one that all nodes see.
#SBATCH --job-name=genjax
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
# No --gpus-per-task: JAX chooses among the node's GPUs by the rank of a task there.
# Two minutes before the end genjax is told, and saves; the same command goes on from there.
set -euo pipefail

: "${1:?an experiment (vae, gan, domains), then its flags}"
srun --kill-on-bad-exit=1 genjax "$@" --platform=gpu --distributed=auto
