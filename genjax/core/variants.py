"""Arms of a comparison: recipes that differ from the script's flags in the switches they name."""

import json

from absl import flags

from genjax.core.errors import UsageError

# Rows, and folders, of a run that no arm made.
RESERVED = ("truth", "floor", "ceiling", "classifier")


def parse(texts: list[str], recipe: tuple[str, ...]) -> dict:
    """{name: {flag: value}} of `--arm` texts, 'name' or 'name:flag=value,flag=value'.

    recipe: the flags an arm may change; the others it takes from the command line. Raises
    UsageError for a name that is taken or cannot be a file's, and for what is no flag or value.
    """
    common = {name: flags.FLAGS[name].value for name in recipe}
    arms = {}
    for text in texts:
        name, _, changes = text.partition(":")
        if not name.strip(".") or not all(c.isalnum() or c in "_-+." for c in name):
            raise UsageError(f"--arm={text}: a name of letters, digits, '_', '-', '+' or '.'")
        if name in arms or name in RESERVED:
            raise UsageError(f"--arm={text}: the name {name} is taken")
        arms[name] = dict(common)
        for change in filter(None, changes.split(",")):
            key, equals, value = change.partition("=")
            if key not in recipe or not equals:
                raise UsageError(
                    f"--arm={text}: '{change}' is no flag=value of a recipe; "
                    f"choices: {', '.join(recipe)}"
                )
            try:
                arms[name][key] = flags.FLAGS[key].parser.parse(value)
            except ValueError as error:
                raise UsageError(f"--arm={text}: {key}={value}: {error}") from error
    return arms


def alike(recipes: dict[str, dict], *but: str) -> list[list[str]]:
    """The arms in groups whose recipes agree in all else."""
    groups = {}
    for arm, recipe in recipes.items():
        key = json.dumps({name: value for name, value in recipe.items() if name not in but})
        groups.setdefault(key, []).append(arm)
    return list(groups.values())


def preferred(recipes: dict[str, dict], score: dict, by: str, *but: str) -> list[list[str]]:
    """Groups of arms alike in all but `by` and `but`, in the order of `by`.

    Of arms that share its value too, the one of the least score.
    """
    made = []
    for group in alike(recipes, by, *but):
        best = {recipes[arm][by]: arm for arm in sorted(group, key=lambda a: -score[a])}
        made.append([best[value] for value in sorted(best)])
    return made
