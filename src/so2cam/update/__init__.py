"""Another version of so2cam beside the one that runs: offered, built, checked, switched to, and given back."""
