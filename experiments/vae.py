"""What does a VAE buy over an autoencoder, and what does it cost?

Trains autoencoders that differ in one thing each, all seeds of a model as one program, and measures
reconstruction, latent space, samples from several samplers, and likelihood. With --compare it ends
in one table and its claims:

    python experiments/vae.py --flagfile=experiments/flags/vae_digits.flags
"""

from launch import launch

if __name__ == "__main__":
    launch("vae", __doc__)
