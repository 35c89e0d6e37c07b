"""A fifth question, as small as one can be: does descent with noise find a known slope?"""
