"""`python -m bridge` is the same as `amigo-bridge`."""

from bridge.cli.main import main

if __name__ == "__main__":
    main()
