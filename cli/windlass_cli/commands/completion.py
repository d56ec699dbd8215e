"""``windlass completion``: the script that lets a shell complete commands, options and names."""

import click
from click.shell_completion import get_completion_class

from windlass_cli.command_line.invocation import Command

SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context, shell):
    """Write the completion script for a shell.

    \b
      bash   windlass completion bash > ~/.local/share/bash-completion/completions/windlass
      zsh    windlass completion zsh > "${fpath[1]}/_windlass"
      fish   windlass completion fish > ~/.config/fish/completions/windlass.fish
    """
    kind = get_completion_class(shell)
    script = kind(context.find_root().command, {}, "windlass", "_WINDLASS_COMPLETE")
    if context.obj.as_json:
        context.obj.output.json({"shell": shell, "script": script.source_template % script.source_vars()})
        return
    context.obj.output.text(script.source_template % script.source_vars() + "\n")
