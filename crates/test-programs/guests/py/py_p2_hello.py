"""Says hello or shows its arguments; `--exit-failure` fails, `--read PATH` shows a file."""

import sys

from wit_world import exports


class Run(exports.Run):
    def run(self) -> None:
        arguments = sys.argv[1:]
        match arguments:
            case []:
                print("hello from a sealed component")
            case ["--exit-failure"]:
                sys.exit(1)
            case ["--read", path]:
                try:
                    with open(path, encoding="utf-8") as file:
                        print(file.read(), end="")
                except OSError as error:
                    print(f"error: {error.strerror}", file=sys.stderr)
                    sys.exit(1)
            case _:
                print("\n".join(arguments))
