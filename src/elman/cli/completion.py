"""`elman completion`."""

from __future__ import annotations

import sys
from typing import Literal

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Shell, /) -> None:
    """Print what makes a shell complete commands and options.

    For bash: eval "$(elman completion bash)" in ~/.bashrc. For zsh: write it to a file _elman in a
    folder of $fpath. For fish: write it to ~/.config/fish/completions/elman.fish.

    Parameters
    ----------
    shell
        Whose script.
    """
    sys.stdout.write(script(shell))


def script(shell: Shell) -> str:
    """Return the script, with the options that the commands have for the default task."""
    from elman.cli.app import build

    text = build([], whole=True).generate_completion(shell=shell)
    if shell != "bash":
        return text
    # Files are bash's own work: it knows of blanks in names and of folders.
    text = text.replace('COMPREPLY=( $(compgen -f -- "${cur}") )', "COMPREPLY=()")
    return text.replace("complete -F", "complete -o default -F")
