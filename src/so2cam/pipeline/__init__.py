"""The chain: a step function per stage, a ``Processor`` that holds what passes from pair to pair, runners on top."""
