"""The command `genjax`, and what the scripts in experiments/ do: command lines alone, no science.

A module a subcommand, each with `main(arguments, command)`; main.py has the list.
"""
