"""`python -m broker.cli`: the `penstock` command of this very interpreter, whatever is on the path."""

from broker.cli.app import main

if __name__ == "__main__":
    main()
