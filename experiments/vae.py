"""What does a VAE buy over an autoencoder, and what does it cost?

`python experiments/vae.py --help` says more; `genjax vae` is the same.
"""

import missing  # noqa: F401 - First.

from genjax_cli import launch

if __name__ == "__main__":
    launch.script("vae")
